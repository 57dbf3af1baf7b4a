"""Runs the program, PyTorch and ONNX Runtime on the same 256 images, and compares their logits.

    python tests/interchange/check.py target/release/roentgen RUN
"""

import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

N = 256
TOLERANCE = 1e-4


def png(pixels):
    """The bytes of an 8-bit image (h, w, c)."""
    h, w, c = pixels.shape
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", w, h, 8, {1: 0, 3: 2}[c], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def draw_images(size, channels):
    """Smooth blobs, stripes and noise: (N, size, size, channels), 8 bit. They have the size of the input, so that none is resized."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    made = np.empty((N, size, size, channels))
    for n in range(N):
        a, b, c, d, e = rng.uniform(0, 1, 5)
        blob = np.exp(-((x - a) ** 2 + (y - b) ** 2) / (0.02 + 0.2 * c))
        stripes = 0.3 * np.sin(20 * d * x + 20 * e * y)
        noise = rng.normal(0, 0.1, (size, size, channels))
        made[n] = (blob + stripes)[..., None] + noise
    return np.clip(255 * made, 0, 255).astype(np.uint8)


def page():
    """`load` and `views` of the page."""
    text = (pathlib.Path(__file__).parents[2] / "docs/interchange.md").read_text()
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.S)[:3]:
        exec(code, names)
    return names["load"], names["views"]


def predict(program, model, folder):
    lines = subprocess.run([program, "predict", "--json", "--quiet", "--model", model, folder], check=True, capture_output=True)
    predictions = [json.loads(line) for line in lines.stdout.splitlines()]
    # The last line compares the images as a group with the training data.
    predictions = [line for line in predictions if "path" in line]
    return np.array([[logits[name] for name in sorted(logits)] for logits in (line["logits"] for line in predictions)])


def main(program, run):
    path = pathlib.Path(run, "model.safetensors")
    load, views = page()
    model, card = load(path)
    order = sorted(range(len(card["class_names"])), key=lambda i: card["class_names"][i])
    more_than_the_crop = card.get("zoom") or card.get("aspect")
    images = draw_images(card["resize" if more_than_the_crop else "size"], card["channels"])
    shape = (1, -1, 1, 1)
    mean, std = (torch.tensor(card[key]).reshape(shape) for key in ("mean", "std"))
    pixels = torch.tensor(images).permute(0, 3, 1, 2).float() / 255
    with tempfile.TemporaryDirectory() as folder:
        films = pathlib.Path(folder, "films")
        films.mkdir()
        for n, image in enumerate(images):
            (films / f"{n:03}.png").write_bytes(png(image))
        ours = predict(program, path, films)
        onnx = pathlib.Path(folder, "model.onnx")
        subprocess.run([program, "export", "--quiet", "--model", path, "--onnx", onnx], check=True)
        session = onnxruntime.InferenceSession(onnx)
        logits, probabilities = session.run(["logits", "probabilities"], {"pixels": pixels.numpy()})
        assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == card["class_names"]
        assert session.run(["logits"], {"pixels": pixels.numpy()[:1]})[0].shape == (1, len(order))
        softmax = torch.softmax(torch.tensor(logits) / card["temperature"], 1).numpy()
        assert np.abs(softmax - probabilities).max() < 1e-5
        with torch.no_grad():
            theirs = torch.stack([model(view) for view in views((pixels - mean) / std, card)]).mean(0)
        ok = True
        for name, other in (("ONNX Runtime", logits), ("PyTorch", theirs.numpy())):
            other = other[:, order]
            worst, same = np.abs(other - ours).max(), (other.argmax(1) == ours.argmax(1)).sum()
            print(f"{name}: largest difference of a logit {worst:.2e} (logits up to {np.abs(ours).max():.1f}), same class on {same} of {N}")
            # Images unlike the training images have large logits; there a millionth of the largest is as good as f32 can be.
            ok &= worst < TOLERANCE * max(1, np.abs(ours).max() / 100) and same == N
        weights = pathlib.Path(folder, "weights.safetensors")
        save_file(model.state_dict(), weights)
        out = pathlib.Path(folder, "run")
        flags = ["--width", str(card["width"]), "--epochs", "1", "--max-lr", "1e-12", "--weight-decay", "0"]
        subprocess.run([program, "train", "--quiet", "--films", "60", "--out", out, "--init", weights, *flags], check=True)
        trained, _ = load(out / "model.safetensors")
        difference = max((a - b).abs().max().item() for a, b in zip(model.conv4.parameters(), trained.conv4.parameters()))
        print(f"PyTorch's weights, loaded and trained at a rate of 1e-12: largest change {difference:.2e}")
        ok &= difference < 1e-6
    print("all agree" if ok else "THEY DIFFER")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
