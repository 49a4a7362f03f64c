"""Writes what every metric is for every loss, end of the network and kind of labels: scikit-learn's value, or that it is refused.

pip install scikit-learn keras jax && python metric_table.py    (made with scikit-learn 1.9.1, Keras 3.15.1)

A group is a kind of labels, a number of outputs, a loss and an activation at the end of the network. Either the group is refused (`metrics` is null), or
each metric has a value, or is refused (null). The rules are written down here a second time, from what the names mean, not from the code under test:
metrics of classes are of probabilities; of two classes, precision, recall, F1 and AUC are of the second; F1 and AUC leave out classes without rows.
AUC is Keras's, with its 200 thresholds, and checked against scikit-learn's.
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_ENABLE_X64"] = "1"

import keras
import numpy as np
from sklearn import metrics as sk

ROWS = 24
rng = np.random.default_rng(20261130)


def of_classes(*classes):
    """Labels with these classes, each in several rows, the larger numbers in more of them."""
    return np.concatenate([classes, rng.choice(classes, ROWS - len(classes), p=np.arange(1, len(classes) + 1) / sum(range(1, len(classes) + 1)))])


LABELS = {
    "values": np.round(rng.normal(size=ROWS), 3),
    "two classes": of_classes(0, 1),
    "three classes": of_classes(0, 1, 2),
    "seven classes": of_classes(*range(7)),
    "three classes from 1": of_classes(1, 2, 3),
    "two classes from 1": of_classes(1, 2),
}
# More outputs than classes, too: only a sparse loss takes them.
WIDTHS = {
    "values": [1, 2], "two classes": [1, 2, 4], "three classes": [1, 2, 3, 5], "seven classes": [7, 9], "three classes from 1": [3, 4, 5],
    "two classes from 1": [1, 2, 3],
}  # fmt: skip

SPARSE, CATEGORICAL, BINARY = "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"
LOGITS = [{"name": name, "from_logits": True} for name in (SPARSE, CATEGORICAL, BINARY)]
OF_VALUES = ["mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "poisson"]
LOSSES = [SPARSE, CATEGORICAL, BINARY, *LOGITS, "kl_divergence", "hinge", *OF_VALUES]

ENDS = {
    "linear": lambda x: x,
    "leaky_relu": lambda x: np.where(x < 0, 0.2 * x, x),  # relu would make equals, which each library ranks its own way
    "tanh": np.tanh,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "exponential": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}
POSITIVE = ["softplus", "exponential", "sigmoid", "softmax"]
NO_PROBABILITIES = ["linear", "leaky_relu", "tanh", "softplus", "exponential"]


def is_accepted(labels, width, loss, end):
    """Whether loss, labels and network go together."""
    if width == 1 and end == "softmax":
        return False  # It is always 1.
    if labels == "values":
        return loss in OF_VALUES and width == 1
    classes = LABELS[labels].max() + 1
    logits = isinstance(loss, dict)
    name = loss["name"] if logits else loss
    if name in OF_VALUES:
        return False
    fits = {
        SPARSE: width >= classes and width > 1, CATEGORICAL: width == classes, "kl_divergence": width == classes,
        BINARY: width == classes or (classes == 2 and width == 1), "hinge": classes == 2 and width == 1,
    }[name]  # fmt: skip
    ends = {SPARSE: POSITIVE, CATEGORICAL: POSITIVE, BINARY: ["sigmoid", "softmax"], "kl_divergence": ["softmax"], "hinge": ["linear", "leaky_relu", "tanh"]}[name]
    return fits and end in (NO_PROBABILITIES if logits else ends)


def probabilities(loss, output):
    """What the loss takes the outputs for, as probabilities."""
    if isinstance(loss, dict):
        return ENDS["sigmoid" if loss["name"] == BINARY else "softmax"](output)
    if loss in (SPARSE, CATEGORICAL):
        return output / output.sum(-1, keepdims=True)
    return (1 + np.tanh(output)) / 2 if loss == "hinge" else output


def auc(y, p):
    kept = keras.metrics.AUC()
    kept.update_state(y, p)
    value = float(kept.result())
    assert abs(value - sk.roc_auc_score(y, p)) < 0.1  # saturated logits fall between few of the thresholds
    return value


def value(metric, y, p, output, loss):
    """The metric's value; none where it is refused."""
    name = metric if isinstance(metric, str) else metric["name"]
    if y.dtype == float:
        of_values = {
            "mse": sk.mean_squared_error, "rmse": sk.root_mean_squared_error, "mae": sk.mean_absolute_error, "r2_score": sk.r2_score,
        }  # fmt: skip
        return of_values[name](y, output[:, 0]) if name in of_values else None
    width, present = p.shape[1], np.unique(y)
    one_hot = np.eye(width)[y] if width > 1 else y[:, None]
    border = p > 0.5 if loss != "hinge" else output > 0
    if len(present) == 2:
        second = 0 if width == 1 else present[1]
        of_second = (y == present[1], border[:, second])
    match name:
        case "accuracy":
            return sk.accuracy_score(y, border[:, 0] if width == 1 else p.argmax(1))
        case "binary_accuracy":
            return sk.accuracy_score(y, border[:, 0]) if width == 1 else None
        case "categorical_accuracy" | "sparse_categorical_accuracy":
            return sk.accuracy_score(y, p.argmax(1)) if width > 1 else None
        case "top_k_categorical_accuracy":
            k = 5 if isinstance(metric, str) else metric["k"]
            return sk.top_k_accuracy_score(y, p, k=k, labels=range(width)) if width > 1 and k < y.max() + 1 else None
        case "precision" | "recall":
            of = {"precision": sk.precision_score, "recall": sk.recall_score}[name]
            return of(*of_second, zero_division=0) if len(present) == 2 else of(one_hot.ravel(), border.ravel(), zero_division=0)
        case "f1_score":
            if len(present) == 2:
                return sk.f1_score(*of_second, zero_division=0)
            return sk.f1_score(y, p.argmax(1), labels=present, average="macro", zero_division=0)
        case "auc":
            if len(present) == 2:
                return auc(y == present[1], p[:, second])
            return auc(one_hot[:, present].ravel(), p[:, present].ravel())
    return None


METRICS = [
    "accuracy", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy", {"name": "top_k_categorical_accuracy", "k": 2},
    "top_k_categorical_accuracy", "precision", "recall", "f1_score", "auc", "mse", "rmse", "mae", "r2_score",
]  # fmt: skip


def groups():
    for labels, y in LABELS.items():
        for width in WIDTHS[labels]:
            x = np.round(rng.normal(size=(ROWS, width)) * 1.5 + (0.8 * np.eye(width + 8)[y][:, :width] if y.dtype != float and width > 1 else 0), 3)
            for loss in LOSSES:
                for end, activation in ENDS.items():
                    group = {"labels": labels, "width": width, "loss": loss, "end": end}
                    if not is_accepted(labels, width, loss, end):
                        yield group | {"metrics": None}, None
                        continue
                    output = activation(x)
                    p = probabilities(loss, output)
                    values = [value(metric, y, p, output, loss) for metric in METRICS]
                    yield group | {"metrics": [None if v is None else float(f"{v:.7g}") for v in values]}, x


if __name__ == "__main__":
    rows, inputs = [], {}
    for group, x in groups():
        rows.append(group)
        if x is not None:
            inputs[f"{group['labels']}, {group['width']}"] = x.ravel().tolist()
    table = {"metrics": METRICS, "labels": {name: y.tolist() for name, y in LABELS.items()}, "inputs": inputs}
    head = ",\n".join(f"{json.dumps(key)}: {json.dumps(part)}" for key, part in table.items())
    body = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    path = pathlib.Path(__file__).with_name("metric_table.json")
    path.write_text(f"{{\n{head},\n\"groups\": [\n{body}\n]\n}}\n")
    accepted = [row for row in rows if row["metrics"]]
    values = sum(v is not None for row in accepted for v in row["metrics"])
    print(len(rows), "groups", len(rows) * len(METRICS), "cells:", values, "values, the others refused")
