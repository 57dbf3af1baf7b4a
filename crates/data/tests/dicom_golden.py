"""Writes dicom_golden.csv: what pydicom makes of its test files, to compare the Rust code with.

    python3 -m venv env && env/bin/pip install pydicom==3.0.1 pydicom-data==1.0.0 numpy \
        pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pylibjpeg-rle pyjpegls
    env/bin/python crates/data/tests/dicom_golden.py FOLDER... > crates/data/tests/dicom_golden.csv

FOLDER: `pydicom/data/test_files` and `data_store/data` in the site-packages of that environment.

A line for each file that pydicom decodes: checksum of the file, its name, what it is compared by (`exact`: the checksum of the
little-endian 16-bit grey values, or of the 8-bit RGB values; `mean`: only their mean, where decoders of lossy streams round
differently), width, height, checksum, mean.
"""

import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi_lut

warnings.filterwarnings("ignore")
TAIL = 0.005
LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.91")


def first_frame(dataset):
    pixels = dataset.pixel_array
    return pixels[0] if int(dataset.get("NumberOfFrames", 1) or 1) > 1 else pixels


def padding_of(dataset, stored):
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


def stored_range(dataset):
    bits = dataset.BitsStored
    return (0, 2**bits - 1) if dataset.PixelRepresentation == 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def unit(dataset, stored):
    """Grey values of 0 to 1, before MONOCHROME1 is inverted."""
    values = apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        return apply_voi_lut(values, dataset).astype(float) / (2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1)
    low, high = stored_range(dataset)
    if dataset.get("ModalityLUTSequence"):
        low, high = 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    elif "RescaleSlope" in dataset:
        low, high = (float(end) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept) for end in (low, high))
    if dataset.get("WindowCenter") not in (None, ""):
        shown = apply_voi_lut(values, dataset).astype(float)
        return (shown - float(low)) / (float(high) - float(low))
    values = values.astype(float)
    if dataset.BitsStored > 8:
        # The range that holds all but the tails, as display.rs defines it.
        shown = np.sort(values[~padding_of(dataset, stored)].ravel())
        n_tail = int(np.floor(TAIL * shown.size))
        low, high = (shown[n_tail], shown[shown.size - 1 - n_tail]) if shown.size else (0, 0)
        high = high if low < high else low + 1
    return np.clip((values - low) / (high - low), 0, 1)


def displayed(dataset):
    pixels = first_frame(dataset)
    if dataset.get("SamplesPerPixel", 1) == 3:
        return pixels
    grey = unit(dataset, pixels)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1 - grey
    grey[padding_of(dataset, pixels)] = 0
    return np.rint(grey * 65535).astype("<u2")


print("file,name,compared,width,height,checksum,mean")
for path in sorted(path for folder in sys.argv[1:] for path in Path(folder).iterdir() if path.suffix == ".dcm"):
    try:
        dataset = pydicom.dcmread(path)
        shown = displayed(dataset)
    except Exception as error:
        print(f"{path.name}: {error}", file=sys.stderr)
        continue
    syntax = dataset.file_meta.TransferSyntaxUID
    is_chroma = dataset.PhotometricInterpretation.startswith("YBR_FULL")
    compared = "mean" if syntax in LOSSY or is_chroma else "exact"
    content = np.ascontiguousarray(shown).tobytes()
    height, width = shown.shape[:2]
    print(
        f"{zlib.crc32(path.read_bytes()):08x},{path.name},{compared},{width},{height},{zlib.crc32(content):08x},"
        f"{shown.mean():.3f}"
    )
