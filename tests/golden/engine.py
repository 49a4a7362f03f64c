"""Writes engine.json: what Keras makes of small networks, for the trainer's unit tests.

pip install keras "jax[cpu]" && KERAS_BACKEND=jax python engine.py    (made with Keras 3.15.1 on jax 0.10.2, float32)

For each case: weights drawn here, one batch, the loss, the gradient of every weight, the training loss of three steps and the weights after them.
"""

import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from keras import layers

SPARSE, ONE_HOT, SQUARES = "sparse_categorical_crossentropy", "categorical_crossentropy", "mean_squared_error"
ADAM = {"name": "adam", "learning_rate": 0.01}
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}


def case(name, shape, network, loss, optimizer, rows=5, classes=3):
    rng = np.random.default_rng(len(name))
    x = rng.normal(size=(rows, *shape)).astype("float32")
    y = rng.normal(size=rows).astype("float32") if loss == SQUARES else rng.integers(0, classes, rows)
    targets = np.eye(classes, dtype="float32")[y] if loss == ONE_HOT else y
    build = {layer: getattr(layers, layer) for layer in ("Flatten", "Reshape", "Rescaling", "Dense", "Activation", "Conv2D", "MaxPooling2D")}
    model = keras.Sequential([keras.Input(shape)] + [build[layer["layer"]](**{k: v for k, v in layer.items() if k != "layer"}) for layer in network])
    weights = [(rng.normal(size=w.shape) * 0.4).astype("float32") for w in model.trainable_weights]
    model.set_weights(weights)
    make = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[optimizer["name"]]
    metric = "mae" if loss == SQUARES else "accuracy"
    model.compile(make(**{k: v for k, v in optimizer.items() if k != "name"}), loss, metrics=[metric])

    def of(weights):
        output, _ = model.stateless_call(weights, [], x)
        return jax.numpy.mean(keras.losses.get(loss)(targets.reshape(output.shape) if loss == SQUARES else targets, output))

    before, gradients = jax.value_and_grad(of)([jax.numpy.asarray(w) for w in weights])
    judged = model.evaluate(x, targets, verbose=0)
    assert abs(judged[0] - float(before)) < 1e-5, (name, judged, before)
    steps = [float(model.train_on_batch(x, targets)[0]) for _ in range(3)]
    flat = lambda arrays: [[round(float(v), 8) for v in np.asarray(a).ravel()] for a in arrays]
    return {
        "name": name, "shape": shape, "network": network, "optimizer": optimizer, "loss": loss, "metric": metric, "classes": None if loss == SQUARES else classes,
        "x": flat([x])[0], "y": y.tolist(), "weights": flat(weights), "mean_loss": float(before), "metric_value": float(judged[1]),
        "gradients": flat(gradients), "steps": steps, "after": flat(model.get_weights()),
    }  # fmt: skip


def dense(units, activation=None):
    return {"layer": "Dense", "units": units, "activation": activation}


cases = [
    case("dense relu softmax", [4], [dense(6, "relu"), dense(3, "softmax")], SPARSE, ADAM),
    case("dense tanh one-hot sgd", [4], [dense(5, "tanh"), dense(3), {"layer": "Activation", "activation": "softmax"}], ONE_HOT, SGD),
    case("regression", [3], [dense(5, "sigmoid"), dense(4, "leaky_relu"), dense(1)], SQUARES, ADAM),
    case("no softmax at the end", [4], [dense(6, "relu"), dense(3, "sigmoid")], SPARSE, SGD),
    case("dense on the last axis", [3, 4], [{"layer": "Rescaling", "scale": 0.5, "offset": 0.1}, dense(2, "softmax"), {"layer": "Flatten"}, dense(3, "softmax")], ONE_HOT, ADAM),
    case(
        "conv and pool valid", [7, 6],
        [{"layer": "Reshape", "target_shape": [7, 6, 1]}, {"layer": "Conv2D", "filters": 3, "kernel_size": [3, 2], "activation": "relu"},
         {"layer": "MaxPooling2D", "pool_size": [2, 2]}, {"layer": "Flatten"}, dense(3, "softmax")], SPARSE, ADAM),
    case(
        "conv and pool same", [6, 5, 2],
        [{"layer": "Conv2D", "filters": 3, "kernel_size": [3, 2], "strides": [2, 1], "padding": "same", "activation": "tanh"},
         {"layer": "MaxPooling2D", "pool_size": [3, 2], "strides": [1, 2], "padding": "same"},
         {"layer": "Conv2D", "filters": 2, "kernel_size": [2, 2], "padding": "same", "activation": "relu"}, {"layer": "Flatten"}, dense(3, "softmax")], SPARSE, SGD),
]  # fmt: skip
pathlib.Path(__file__).with_suffix(".json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
