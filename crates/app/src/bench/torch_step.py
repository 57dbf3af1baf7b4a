"""The same ResNet9 in PyTorch: what `roentgen bench --torch PYTHON` measures beside its own.

    echo SECONDS | python torch_step.py train 128 SIZE CHANNELS CLASSES WIDTH THREADS VARIANT

VARIANT is one of
    eager     float32, as PyTorch runs by itself
    compiled  float32, torch.compile; for inference with the weights frozen and batch norm folded
    bf16      training under autocast to bfloat16
    onnx      inference by ONNX Runtime of the exported model

For each line on its standard input, the number of seconds, it measures and prints one line of JSON, with the keys of
`Slice` in case_result.rs; the model is compiled once.  PyTorch is measured at its best: channels last, fused Adam, and a heap that keeps what is
freed (by default every large tensor is returned to the system and its pages are made anew at each step).
"""

import ctypes
import json
import os
import sys
import tempfile
import time


def keep_freed_memory():
    """Tells glibc to keep freed memory; other C libraries have no such switch."""
    no_mmap, trim_threshold, top_pad = -4, -1, -2
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(no_mmap, 0)
        libc.mallopt(trim_threshold, -1)
        libc.mallopt(top_pad, 128 * 1024 * 1024)
    except (AttributeError, OSError):
        pass


def resnet9(channels, classes, width):
    from torch import nn

    def conv(c_in, c_out, *after):
        return nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True), *after
        )

    class Skip(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    return nn.Sequential(
        conv(channels, width),
        conv(width, 2 * width, nn.MaxPool2d(2)),
        Skip(conv(2 * width, 2 * width), conv(2 * width, 2 * width)),
        conv(2 * width, 4 * width, nn.MaxPool2d(2)),
        conv(4 * width, 8 * width, nn.MaxPool2d(2)),
        Skip(conv(8 * width, 8 * width), conv(8 * width, 8 * width)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8 * width, classes),
    )


def training_step(model, x, labels, variant):
    import torch

    parameters = list(model.parameters())
    adam = torch.optim.Adam(parameters, lr=1e-3, weight_decay=1e-4, fused=True)
    network = torch.compile(model) if variant == "compiled" else model

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=variant == "bf16"):
            loss = torch.nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        torch.nn.utils.clip_grad_value_(parameters, 0.1)
        adam.step()
        adam.zero_grad()
        return loss.item()

    return step


def inference_step(model, x, variant, threads):
    import torch

    model.eval().requires_grad_(False)
    if variant == "onnx":
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "resnet9.onnx")
            torch.onnx.export(model, (x,), path, input_names=["x"], dynamo=False)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        images = {"x": x.contiguous().numpy()}
        return lambda: session.run(None, images)
    if variant == "compiled":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        model = torch.compile(model)

    def step():
        with torch.inference_mode():
            return model(x)

    return step


def peak_rss_mib():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def times_ms(step, budget_s):
    step()
    times, begin = [], time.perf_counter()
    while not times or (time.perf_counter() - begin < budget_s and len(times) < 2000):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def main():
    mode, variant = sys.argv[1], sys.argv[8]
    batch, size, channels, classes, width, threads = map(int, sys.argv[2:8])
    keep_freed_memory()
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = resnet9(channels, classes, width).to(memory_format=torch.channels_last)
    x = torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last)
    if mode == "train":
        step = training_step(model, x, torch.arange(batch) % classes, variant)
    else:
        step = inference_step(model, x, variant, threads)

    step()
    first_step_at = time.time()
    for seconds in sys.stdin:
        result = {
            "times_ms": times_ms(step, float(seconds)),
            "first_step_at": first_step_at,
            "peak_rss_mib": peak_rss_mib(),
        }
        print(json.dumps(result), flush=True)


main()
