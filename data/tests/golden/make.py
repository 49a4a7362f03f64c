"""Writes the files of this folder: `pip install numpy pyarrow pillow && python make.py`, with jpegtran and cjpeg beside it. The suite itself needs no Python.

Last run with NumPy 2.4.6, PyArrow 26.0.1 and Pillow 13.0.0. What the tests expect of each file stands beside it.
"""
import json
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

here = Path(__file__).parent

# As Keras's mnist.npz: uint8 images, uint8 labels, under its names; every pixel is 10 * row + place in the row.
x_train = (10 * np.arange(6)[:, None] + np.arange(6)[None, :]).astype(np.uint8).reshape(6, 2, 3)
y_train = np.array([0, 1, 2, 0, 1, 2], np.uint8)
x_test, y_test = x_train[:3] + 1, y_train[:3]
np.savez(here / "stored.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
np.savez_compressed(here / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)

# Every type of array, the same numbers in each: [[0, 1], [2, 3]]; and arrays that are refused.
numbers = np.arange(4).reshape(2, 2)
types = ["<i1", "<i2", ">i2", "<i4", ">i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", ">f4", "<f8"]
arrays = {name.replace("<", "le_").replace(">", "be_"): numbers.astype(name) for name in types}
np.savez(
    here / "types.npz", **arrays, bool=numbers > 0, labels=np.array([0, 1]), column=np.array([[1], [0]]), values=np.array([0.5, -1.5]),
    weights=np.array([0.5, 2.0]), fortran=np.asfortranarray(numbers.astype("<f4")), nan=np.array([[0.0, 1.0], [np.nan, 3.0]]),
    negative=np.array([0, -1]), huge=np.array([0, 1 << 40]), one_hot=np.eye(2), text=np.array(["a", "b"]), complex=numbers * 1j, scalar=np.array(7),
    empty=np.zeros((0, 2)), structured=np.zeros(2, [("a", "<f4")]), three=np.arange(3), zero_weights=np.zeros(2),
)

# Columns of every type that is read; the label is a text, an integer, a float or a boolean.
table = pa.table({
    "int8": pa.array([1, -2, 3, 4], pa.int8()),
    "uint32": pa.array([1, 4294967295, 3, 4], pa.uint32()),
    "int64": pa.array([1, 2, 3, 4], pa.int64()),
    "float": pa.array([0.5, 1.5, 2.5, 3.5], pa.float32()),
    "double": pa.array([0.1, 0.2, 0.3, 0.4], pa.float64()),
    "bool": pa.array([True, False, True, False]),
    "colour": ["red", "blue", "red", "green"],
    "weight": [1.0, 0.5, 0.0, 2.0],
    "species": ["b", "a", "b", "a"],
})
pq.write_table(table, here / "table.parquet", compression="snappy", row_group_size=3)
pq.write_table(table, here / "table-gzip.parquet", compression="gzip", use_dictionary=False, data_page_version="2.0", version="2.6")
pq.write_table(table, here / "table-zstd.parquet", compression="zstd")
pq.write_table(table, here / "table-lz4.parquet", compression="lz4", data_page_version="2.0", version="2.6")
pq.write_table(table, here / "refused-brotli.parquet", compression="brotli")
# Numbers as they are, with a checksum for each page.
numbers = pa.table({"a": np.arange(20, dtype=np.float32), "y": pa.array([0.5 * i for i in range(20)], pa.float32())})
pq.write_table(numbers, here / "checksums.parquet", compression="none", use_dictionary=False, write_page_checksum=True, write_statistics=False)
pq.write_table(pa.table({"half": pa.array(np.array([0.5, -2.0, 65504.0, 2.0**-24], np.float16)), "y": [0, 1, 0, 1]}), here / "half.parquet")
one = {"x": pa.array([1.0, 2.0])}
refused = {
    "null": pa.array([0, None]), "nested": pa.array([[1], [2, 3]]), "timestamp": pa.array([0, 1], pa.timestamp("us")),
    "decimal": pa.array([1, 2]).cast(pa.decimal128(19, 0)), "nan": pa.array([0.0, float("nan")]), "__index_level_0__": pa.array([0, 1]),
}
for name, column in refused.items():
    pq.write_table(pa.table({**one, name: column, "y": pa.array([0, 1])}), here / f"refused-{name}.parquet")


def safetensors(path, tensors):
    """The format by hand: eight bytes with the length of the header, the header, the values."""
    kinds = {"u1": "U8", "f4": "F32", "i8": "I64", "f2": "F16"}
    header, end = {}, 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": kinds[array.dtype.str[1:]], "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in tensors.values()))


safetensors(here / "mnist.safetensors", {
    "images": x_train, "labels": y_train.astype(np.int64), "weights": np.arange(6, dtype=np.float16), "test_images": x_test,
    "test_labels": y_test.astype(np.int64), "nan": np.array([np.nan] * 6, np.float32),
})

# Folders of images, 3 pixels wide and 2 high: value 10 * number of the image + place.
for folder, mode, channels in [("grey", "L", 1), ("colour", "RGB", 3)]:
    for number, name in enumerate(["ant/1.png", "ant/2.PNG", "bee/1.png"]):
        path = here / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = (10 * number + np.arange(6 * channels)).astype(np.uint8).reshape((2, 3) if channels == 1 else (2, 3, 3))
        Image.fromarray(values).save(path)
# JPEG is lossy, but not of one colour.
for name, colour in [("red/a.jpg", (254, 0, 0)), ("red/b.jpeg", (254, 0, 0)), ("white/a.jpg", (255, 255, 255))]:
    path = here / "jpeg" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path, quality=100)
# JPEG in its forms: of one scan, of several, with restarts, grey; and what libjpeg makes of the first.
for form, options in [("baseline", {}), ("progressive", {"progressive": True}), ("restarts", {"restart_marker_blocks": 2}), ("grey", {})]:
    path = here / "jpeg-forms" / f"{form}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    row, column = np.mgrid[0:20, 0:28]
    values = np.stack([9 * column, 12 * row, 6 * column + 4 * (row % 5)], axis=2).astype(np.uint8)
    image = Image.fromarray(values)
    (image.convert("L") if form == "grey" else image).save(path, quality=85, **options)
(here / "jpeg-forms" / "baseline.raw").write_bytes(Image.open(here / "jpeg-forms" / "baseline.jpg").tobytes())
# One colour: its data is over long before its rows are.
Image.new("L", (28, 28), 137).save(here / "jpeg-forms" / "flat.jpg")
# Forms that the decoder reads wrong, made with libjpeg-turbo's programs: a scan for each colour, of one size or several, and colours finer than the brightness.
with tempfile.NamedTemporaryFile("w") as scans:
    scans.write("0;\n1;\n2;\n")
    scans.flush()
    made = subprocess.run(["jpegtran", "-scans", scans.name, here / "jpeg-forms" / "baseline.jpg"], check=True, capture_output=True).stdout
    (here / "jpeg-forms" / "scans.jpg").write_bytes(made)
    with tempfile.NamedTemporaryFile(suffix=".ppm") as pixels:
        Image.new("RGB", (28, 28), (137, 137, 137)).save(pixels.name)
        made = subprocess.run(["cjpeg", "-sample", "1x1", "-scans", scans.name, pixels.name], check=True, capture_output=True).stdout
        (here / "jpeg-forms" / "even-scans.jpg").write_bytes(made)
with tempfile.NamedTemporaryFile(suffix=".ppm") as pixels:
    Image.open(here / "jpeg-forms" / "baseline.jpg").save(pixels.name)
    made = subprocess.run(["cjpeg", "-sample", "1x1,2x1,2x1", pixels.name], check=True, capture_output=True).stdout
    (here / "jpeg-forms" / "fine-colours.jpg").write_bytes(made)
# What is refused or needs a conversion.
Image.new("L", (4, 4)).save(here / "other-size.png")
Image.new("RGBA", (3, 2), (1, 2, 3, 255)).save(here / "opaque.png")
Image.new("RGBA", (3, 2), (1, 2, 3, 128)).save(here / "transparent.png")
Image.fromarray(np.zeros((2, 3), np.uint16)).save(here / "deep.png")
# A bomb: 12,000 x 12,000 pixels of nothing.
Image.new("1", (12_000, 12_000)).save(here / "bomb.png", optimize=True)

# PNG in its forms, by hand, since Pillow does not write them all: `bits` a sample, of the colour type `kind` (0 grey, 2 RGB, 3 palette, 4 grey and
# alpha, 6 RGBA), with these rows of samples; interlaced they come in the seven passes of Adam7.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(name, kind, bits, rows, *chunks, interlaced=False):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    width = len(rows[0]) // channels

    def packed(samples):
        number, count = 0, 0
        for sample in samples:
            number, count = number << bits | sample, count + bits
        pad = -count % 8
        return b"\0" + (number << pad).to_bytes((count + pad) // 8, "big")

    lines = []
    for x, y, step, step_y in PASSES if interlaced else [(0, 0, 1, 1)]:
        for row in rows[y::step_y]:
            pixels = [row[at * channels:(at + 1) * channels] for at in range(x, width, step)]
            if pixels:
                lines.append(packed(sum(pixels, [])))
    head = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, interlaced)
    data = zlib.compress(b"".join(lines), 9)
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", data), (b"IEND", b"")]
    path = here / "png-forms" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


# What the samples are scaled to: 255 / (2^bits - 1) times as much; a palette's colour `number` is (number, 100 + number, 200 + number).
for bits in [1, 2, 4, 8]:
    count = 1 << bits
    png(f"grey-{bits}", 0, bits, [[(at + row) % count for at in range(9)] for row in range(9)])
    palette = bytes(part for number in range(min(count, 9)) for part in (number, 100 + number, 200 + number))
    indices = [[(at + row) % min(count, 9) for at in range(9)] for row in range(9)]
    png(f"palette-{bits}", 3, bits, indices, (b"PLTE", palette))
    png(f"palette-{bits}-interlaced", 3, bits, indices, (b"PLTE", palette), interlaced=True)
png("grey-4-interlaced", 0, 4, [[(at + row) % 16 for at in range(9)] for row in range(9)], interlaced=True)
colours = [[(7 * at + 11 * row) % 256 for at in range(27)] for row in range(9)]
png("rgb-8", 2, 8, colours)
png("rgb-8-interlaced", 2, 8, colours, interlaced=True)
# Profiles of colours, which training does not apply.
png("rgb-8-gamma", 2, 8, colours, (b"gAMA", struct.pack(">I", 220_000)), (b"cHRM", struct.pack(">8I", *[31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])))
# Transparency that no pixel has, and that one has: by an alpha channel, by a colour, by a palette.
alpha = lambda least: [[255 if at % 2 else at + row for at in range(18)] if row else [least if at % 2 else at for at in range(18)] for row in range(9)]
png("grey-alpha-8-opaque", 4, 8, alpha(255))
png("grey-alpha-8-transparent", 4, 8, alpha(254))
grey = [[at + row for at in range(9)] for row in range(9)]
png("grey-8-key-opaque", 0, 8, grey, (b"tRNS", b"\0\xff"))
png("grey-8-key-transparent", 0, 8, grey, (b"tRNS", b"\0\x03"))
png("rgb-8-key-opaque", 2, 8, colours, (b"tRNS", b"\0\x01\0\x01\0\x01"))
png("rgb-8-key-transparent", 2, 8, colours, (b"tRNS", struct.pack(">3H", *colours[3][:3])))
png("palette-4-opaque", 3, 4, indices, (b"PLTE", palette), (b"tRNS", b"\xff" * 3))
png("palette-4-transparent", 3, 4, indices, (b"PLTE", palette), (b"tRNS", b"\xff\x7f"))
# Sixteen bits a sample.
png("grey-16", 0, 16, grey)
png("rgb-16", 2, 16, colours)
png("grey-alpha-16", 4, 16, alpha(255))
