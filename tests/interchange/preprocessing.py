"""Compares the Python lines of docs/interchange.md with the program, on png files of real sizes.

    python tests/interchange/preprocessing.py target/release/roentgen RUN [FOLDER]

Draws grey and coloured images of many sizes, among them strips, small ones and 16 bit; exports the model; and asserts that
the probabilities are those of `predict` to 1e-4, and that enough of them are neither 0 nor 1. Jpegs and the images of FOLDER are compared too, without a limit: decoders
may differ by a grey level. Needs numpy, pillow and onnxruntime, but not PyTorch.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

TOLERANCE = 1e-4
SIZES = [(1024, 1280), (1057, 1389), (512, 512), (720, 1144), (333, 217), (96, 90), (56, 56), (31, 47), (20, 26), (9, 9), (60, 700)]


def page():
    """`predict` of the page."""
    text = (pathlib.Path(__file__).parents[2] / "docs/interchange.md").read_text()
    code = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "def load_pixels" in code]
    names = {}
    exec(code[0], names)
    return names["predict"]


def draw(height, width, channels, seed):
    """Blobs, stripes and noise: (height, width, channels), in 0 to 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    layers = []
    for _ in range(channels):
        a, b, c, d, e = rng.uniform(0, 1, 5)
        blob = np.exp(-((x - a) ** 2 + (y - b) ** 2) / (0.02 + 0.2 * c))
        layers.append(blob + 0.3 * np.sin(40 * d * x + 40 * e * y) + rng.normal(0, 0.1, (height, width)))
    return np.clip(np.stack(layers, -1), 0, 1)


def draw_files(folder):
    for seed, (height, width) in enumerate(SIZES):
        grey, colour = (draw(height, width, n, seed) for n in (1, 3))
        name = f"{height}x{width}"
        Image.fromarray(np.uint8(255 * grey[..., 0])).save(folder / f"{name}-grey.png")
        Image.fromarray(np.uint8(255 * colour)).save(folder / f"{name}-colour.png")
        Image.fromarray(np.uint8(255 * grey.repeat(3, -1))).save(folder / f"{name}-grey-as-rgb.png")
        Image.fromarray(np.uint16(65535 * grey[..., 0])).save(folder / f"{name}-16-bit.png")
        Image.fromarray(np.uint8(255 * grey[..., 0])).save(folder / f"{name}.jpg", quality=90)


def main(program, run, *more):
    path = pathlib.Path(run, "model.safetensors")
    predict = page()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "images").mkdir()
        draw_files(folder / "images")
        onnx = folder / "model.onnx"
        subprocess.run([program, "export", "--quiet", "--model", path, "--onnx", onnx], check=True)
        command = [program, "predict", "--json", "--quiet", "--model", path, folder / "images", *more]
        lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
        worst = {"png": (0.0, ""), "others": (0.0, "")}
        counts, n_undecided = dict.fromkeys(worst, 0), 0
        # The last line compares the images as a group with the training data.
        for line in filter(lambda line: "path" in line, map(json.loads, lines)):
            theirs, ours = predict(onnx, line["path"]), line["probabilities"]
            kind = "png" if line["path"].startswith(str(folder)) and line["path"].endswith("png") else "others"
            difference = max(abs(theirs[name] - ours[name]) for name in ours)
            worst[kind] = max(worst[kind], (difference, line["path"]))
            counts[kind] += 1
            n_undecided += kind == "png" and 0.001 < max(ours.values()) < 0.999
    for kind, (difference, name) in worst.items():
        print(f"{kind}: {counts[kind]} images, largest difference of a probability {difference:.2e} {name}")
    print(f"{n_undecided} of the png files have a largest probability below 0.999")
    assert counts["png"] == 4 * len(SIZES) and n_undecided >= 10, "such a model hides differences; take another one"
    ok = worst["png"][0] <= TOLERANCE
    print("all agree" if ok else "THEY DIFFER")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
