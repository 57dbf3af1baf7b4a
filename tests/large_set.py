"""Writes N grey png images of 28x28 pixels of noise in ten classes, no two of them equal, to measure memory and time of large sets.

    python3 tests/large_set.py DIR N

A million files take 4 GB on a disk with blocks of 4 KiB, and two to three minutes. docs/cache.md has what was measured with them.
"""

import hashlib
import os
import struct
import sys
import zlib

SIDE, CLASSES, PER_FOLDER = 28, 10, 5000


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HEADER = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
END = chunk(b"IEND", b"")


# The brightness of each class.
TABLES = [bytes((value >> 3) + 20 + 20 * label for value in range(256)) for label in range(CLASSES)]


def image(number, label):
    noise = hashlib.shake_128(str(number).encode()).digest(SIDE * SIDE)
    rows = bytearray()
    for row in range(SIDE):
        rows.append(0)
        rows += noise[row * SIDE : row * SIDE + SIDE].translate(TABLES[label])
    return HEADER + chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + END


def main():
    root, n = sys.argv[1], int(sys.argv[2])
    for number in range(n):
        label = number % CLASSES
        folder = f"{root}/class{label}/{number // (CLASSES * PER_FOLDER):04}"
        if number % (CLASSES * PER_FOLDER) < CLASSES:
            os.makedirs(folder, exist_ok=True)
        descriptor = os.open(f"{folder}/{number:07}.png", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, image(number, label))
        os.close(descriptor)


if __name__ == "__main__":
    main()
