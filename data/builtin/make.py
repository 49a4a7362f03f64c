"""Writes the data sets of this folder from those inside scikit-learn's wheel: `pip install scikit-learn && python make.py`.

Each is a gzipped CSV: a header, the features as scikit-learn returns them, and the label in the last column, `label`.
The same version of scikit-learn writes the same bytes. Last run with scikit-learn 1.9.1.
"""
import gzip
from pathlib import Path

from sklearn import datasets


def text(value):
    """A number in the fewest digits that read back the same; whole numbers without a point."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


for name, options in {"digits": {}, "iris": {}, "wine": {}, "breast_cancer": {}, "diabetes": {"scaled": False}}.items():
    bunch = getattr(datasets, f"load_{name}")(**options)
    # Feature names hold no comma and no quote, so nothing needs quoting.
    lines = [",".join([*bunch.feature_names, "label"])]
    lines += [",".join(map(text, [*row, label])) for row, label in zip(bunch.data, bunch.target)]
    packed = gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=9, mtime=0)
    Path(__file__).with_name(f"{name}.csv.gz").write_bytes(packed)
    print(f"{name}: {bunch.data.shape}, sum of features {bunch.data.sum()!r}, of labels {float(bunch.target.sum())!r}, {len(packed)} bytes")
