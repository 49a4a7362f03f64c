"""Writes what Keras makes of every layer, activation, loss, optimiser, schedule, regulariser, constraint and metric, for the trainer's unit tests.

pip install keras torch && python engine.py    (made with Keras 3.15.1 on torch 2.15.0 in float64; jax 0.10.2 and tensorflow 2.21.0 agree)

A training case: the evaluation before training, the training loss's gradient of every trainable weight, the loss of each step on the same batch,
and the weights and the loss after them. Weights are in Keras's order, layer for layer, state (moving statistics) included. x and weights have
four decimals, everything else seven digits. `python engine.py FOLDER` writes there instead.
"""

import json
import os
import pathlib
import sys
import zlib

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # or torch's operations round to 32 bits on the way


def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """On torch, Keras pads on one side with copies of the edge and averages them in. Everywhere else padding does not count, and so here."""
    if padding == "same":
        given = [(size, pool, stride) for size, pool, stride in zip(inputs.shape[1:-1], pool_size, strides)]
        missing = [max((-(-size // stride) - 1) * stride + pool - size, 0) for size, pool, stride in given]
        pad = [(0, 0), *[(lack // 2, lack - lack // 2) for lack in missing], (0, 0)]
        mean = lambda x: on_backend(keras.ops.pad(x, pad), pool_size, strides)
        return mean(inputs) / mean(keras.ops.ones_like(inputs))
    return on_backend(inputs, pool_size, strides)


on_backend, keras.src.backend.nn.average_pool = keras.src.backend.nn.average_pool, average_pool

# ---- Our documents in Keras's words


def named(document, kinds):
    """A thing of a document: a name, or an object with a name and arguments."""
    document = {"name": document} if isinstance(document, str) else document
    kind = kinds[document["name"]]
    return kind(**{key: value for key, value in document.items() if key != "name"})


REGULARIZERS = {"l1": keras.regularizers.L1, "l2": keras.regularizers.L2, "l1_l2": lambda l1=0.01, l2=0.01: keras.regularizers.L1L2(l1, l2)}
CONSTRAINTS = {"max_norm": keras.constraints.MaxNorm, "unit_norm": keras.constraints.UnitNorm, "non_neg": keras.constraints.NonNeg}
SCHEDULES = {
    "exponential_decay": keras.optimizers.schedules.ExponentialDecay, "polynomial_decay": keras.optimizers.schedules.PolynomialDecay,
    "inverse_time_decay": keras.optimizers.schedules.InverseTimeDecay, "piecewise_constant_decay": keras.optimizers.schedules.PiecewiseConstantDecay,
    "cosine_decay": keras.optimizers.schedules.CosineDecay, "cosine_decay_restarts": keras.optimizers.schedules.CosineDecayRestarts,
}  # fmt: skip
OPTIMIZERS = {kind.lower(): getattr(keras.optimizers, kind) for kind in
              ("SGD", "RMSprop", "Adam", "AdamW", "Nadam", "Adamax", "Adagrad", "Adadelta", "Lion")}  # fmt: skip
LOSSES = {
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy, "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy, "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_absolute_error": keras.losses.MeanAbsoluteError, "huber": keras.losses.Huber, "log_cosh": keras.losses.LogCosh,
    "kl_divergence": keras.losses.KLDivergence, "hinge": keras.losses.Hinge, "poisson": keras.losses.Poisson,
}  # fmt: skip
VALUES = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "poisson")
METRICS = {
    "binary_accuracy": keras.metrics.BinaryAccuracy, "categorical_accuracy": keras.metrics.CategoricalAccuracy,
    "sparse_categorical_accuracy": keras.metrics.SparseCategoricalAccuracy, "top_k_categorical_accuracy": keras.metrics.TopKCategoricalAccuracy,
    "precision": keras.metrics.Precision, "recall": keras.metrics.Recall, "auc": keras.metrics.AUC, "mse": keras.metrics.MeanSquaredError,
    "rmse": keras.metrics.RootMeanSquaredError, "mae": keras.metrics.MeanAbsoluteError, "r2_score": keras.metrics.R2Score,
}  # fmt: skip


def layer(document):
    def argument(key, value):
        if value is not None and key.endswith("_regularizer"):
            return named(value, REGULARIZERS)
        return named(value, CONSTRAINTS) if value is not None and key.endswith("_constraint") else value

    arguments = {key: argument(key, value) for key, value in document.items() if key not in ("layer", "wrapped")}
    wrapped = [layer(document["wrapped"])] if "wrapped" in document else []
    return getattr(keras.layers, document["layer"])(*wrapped, **arguments)


def optimizer(document):
    document = {"name": document} if isinstance(document, str) else dict(document)
    if isinstance(document.get("learning_rate"), dict):
        document["learning_rate"] = named(document["learning_rate"], SCHEDULES)
    return named(document, OPTIMIZERS)


def name_of(document):
    return document if isinstance(document, str) else document["name"]


def targets(y, classes, width, sparse=False):
    """Labels as Keras wants them: class numbers, one column of values or of two classes, or one-hot."""
    return y if sparse else y.astype(float).reshape(-1, 1) if classes is None or width == 1 else np.eye(width)[y]


def scores(loss, output):
    """Outputs as the loss reads them, between 0 and 1 with the border at 1/2: Keras's metrics take logits and hinge's outputs as they are."""
    if name_of(loss) == "hinge":
        return 1 / (1 + np.exp(-2 * output))
    if isinstance(loss, dict) and loss.get("from_logits"):
        return 1 / (1 + np.exp(-output)) if loss["name"] == "binary_crossentropy" else np.asarray(keras.ops.softmax(output))
    return output


def metric(document, classes, width, batches):
    """The value of a metric over the batches of an epoch: pairs of outputs and labels. With two outputs for two classes, of the second."""
    name = name_of(document)
    if classes == 2 and width == 2 and name in ("precision", "recall", "auc", "f1_score"):
        return metric(document, classes, 1, [(output[:, 1:], y) for output, y in batches])
    if name == "accuracy":
        name = "binary_accuracy" if width == 1 else "sparse_categorical_accuracy"
    if name == "f1_score":
        kept = keras.metrics.F1Score(average="macro", threshold=0.5 if width == 1 else None)
    else:
        kept = named(
            {"name": name} | {key: value for key, value in (document if isinstance(document, dict) else {}).items() if key != "name"}, METRICS
        )
    for output, y in batches:
        kept.update_state(targets(y, classes, width, name.startswith("sparse")), output)
    return plain(kept.result())


def plain(value):
    value = float(f"{float(keras.ops.convert_to_numpy(value)):.7g}")
    assert np.isfinite(value)
    return value if abs(value) > 1e-12 else 0.0


def flat(array):
    return [plain(value) for value in np.asarray(array).ravel()]


class Gradients(keras.optimizers.SGD):
    """Keeps the gradients and moves nothing."""

    def apply(self, gradients, trainable_variables=None):
        self.kept = [keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(gradient)) for gradient in gradients]


# ---- A training case

SPARSE, ONE_HOT, BINARY, SQUARES = "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mean_squared_error"
ADAM = {"name": "adam", "learning_rate": 0.01}
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}


def start(rng, weight):
    """Numbers of a weight: statistics and gains near 1, where they usually are."""
    numbers = rng.normal(size=weight.shape)
    kind = weight.path.split("/")[-1]
    return np.round({"gamma": 1 + 0.3 * numbers, "moving_variance": 0.5 + np.abs(numbers)}.get(kind, 0.4 * numbers), 4)


def case(name, shape, network, loss=SPARSE, optimizer_=SGD, rows=5, classes=3, steps=3, weighted=False, scale=1, **training):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    classes = None if name_of(loss) in VALUES else classes
    training = {"optimizer": optimizer_, "loss": loss, "metrics": ["mae"] if classes is None else ["accuracy"]} | training
    embedding = network[0]["layer"] == "Embedding"
    x = rng.integers(0, network[0]["input_dim"], (rows, *shape)) if embedding else np.round(rng.normal(size=(rows, *shape)) * scale, 4)
    if classes is None:
        y = rng.poisson(1.5, rows).astype(float) if loss == "poisson" else np.round(rng.normal(size=rows), 4)
    else:
        y = rng.integers(0, classes, rows)
    sample_weight = np.round(rng.uniform(0.1, 3, rows), 4) if weighted else None
    class_weight = {int(key): value for key, value in training["class_weight"].items()} if "class_weight" in training else None

    model = keras.Sequential([keras.Input(shape, dtype="int32" if embedding else None)] + [layer(document) for document in network])
    kept = [weight for part in model.layers for weight in part.weights]
    weights = [start(rng, weight) for weight in kept]
    now = lambda: [flat(keras.ops.convert_to_numpy(weight)) for weight in kept]

    def compiled(with_optimizer):
        for weight, numbers in zip(kept, weights):
            weight.assign(numbers)
        model.compile(with_optimizer, named(loss, LOSSES), run_eagerly=True, jit_compile=False)

    def of(loss):
        return plain(loss[0] if isinstance(loss, list) else loss)

    compiled(Gradients())
    output = keras.ops.convert_to_numpy(model(x, training=False))
    t = targets(y, classes, output.shape[-1], name_of(loss) == SPARSE)
    evaluated = lambda: of(model.evaluate(x, t, sample_weight=sample_weight, batch_size=rows, verbose=0))
    step = lambda: of(model.train_on_batch(x, t, sample_weight=sample_weight, class_weight=class_weight))
    before = evaluated()
    gradients = None
    if steps:
        step()
        gradients = [flat(gradient) for gradient in model.optimizer.kept]
        assert len(gradients) == len(model.trainable_weights)
    compiled(optimizer(optimizer_))
    result = {
        "name": name, "shape": shape, "network": network, "training": training, "classes": classes, "rows": rows, "x": flat(x),
        "y": y.tolist() if classes else flat(y), "sample_weight": flat(sample_weight) if weighted else None, "weights": now(), "output": flat(output),
        "mean_loss": before, "metric_values": [metric(document, classes, output.shape[-1], [(scores(loss, output), y)]) for document in training["metrics"]],
        "gradients": gradients, "steps": [step() for _ in range(steps)], "after": now(), "evaluation_after": evaluated(),
    }  # fmt: skip
    if "use_ema" in json.dumps(optimizer_):
        model.optimizer.finalize_variable_values(model.trainable_variables)  # as fit does after its last epoch
        result |= {"finalized": now()}
    return result


def dense(units, activation=None, **more):
    return {"layer": "Dense", "units": units, "activation": activation, **more}


def of(kind, **arguments):
    return {"layer": kind, **arguments}


FLATTEN = of("Flatten")


def judged(*network):
    """A network that ends with the classes."""
    return [*network, FLATTEN, dense(3, "softmax")]


# ---- The cases


def engine():
    yield case("dense relu softmax", [4], [dense(6, "relu"), dense(3, "softmax")], SPARSE, ADAM)
    yield case("dense tanh one-hot sgd", [4], [dense(5, "tanh"), dense(3), of("Activation", activation="softmax")], ONE_HOT)
    yield case("regression", [3], [dense(5, "sigmoid"), dense(4, "leaky_relu"), dense(1)], SQUARES, ADAM)
    yield case("no softmax at the end", [4], [dense(6, "relu"), dense(3, "sigmoid")])
    yield case("dense on the last axis", [3, 4], judged(of("Rescaling", scale=0.5, offset=0.1), dense(2, "softmax")), ONE_HOT, ADAM)
    yield case(
        "conv and pool valid",
        [7, 6],
        judged(
            of("Reshape", target_shape=[7, 6, 1]),
            of("Conv2D", filters=3, kernel_size=[3, 2], activation="relu"),
            of("MaxPooling2D", pool_size=[2, 2]),
        ),
        SPARSE,
        ADAM,
    )
    yield case(
        "conv and pool same",
        [6, 5, 2],
        judged(
            of("Conv2D", filters=3, kernel_size=[3, 2], strides=[2, 1], padding="same", activation="tanh"),
            of("MaxPooling2D", pool_size=[3, 2], strides=[1, 2], padding="same"),
            of("Conv2D", filters=2, kernel_size=[2, 2], padding="same", activation="relu"),
        ),
    )


def convolutions():
    for name, shape, rows, arguments in [
        ("valid", [7, 2], 5, {"kernel_size": 3}),
        ("strides valid", [8, 2], 5, {"kernel_size": 3, "strides": 2, "activation": "tanh"}),
        ("strides same", [8, 3], 1, {"kernel_size": 4, "strides": 3, "padding": "same"}),
        ("dilation valid", [9, 2], 5, {"kernel_size": 3, "dilation_rate": 2}),
        ("dilation same", [7, 2], 5, {"kernel_size": 4, "dilation_rate": 2, "padding": "same"}),
        ("groups", [5, 4], 5, {"kernel_size": 2, "groups": 2, "activation": "relu"}),
        ("no bias", [5, 2], 5, {"kernel_size": 1, "strides": 2, "use_bias": False}),
    ]:
        yield case(f"Conv1D {name}", shape, judged(of("Conv1D", filters=4, **arguments)), rows=rows)
    for name, shape, rows, arguments in [
        ("strides valid", [6, 5, 2], 5, {"kernel_size": [3, 2], "strides": [2, 1]}),
        ("strides larger than kernel", [7, 6, 1], 5, {"kernel_size": [1, 2], "strides": [3, 3]}),
        ("strides same", [5, 7, 2], 2, {"kernel_size": [2, 3], "strides": [2, 3], "padding": "same"}),
        ("dilation valid", [7, 6, 1], 5, {"kernel_size": [3, 2], "dilation_rate": [2, 3], "activation": "tanh"}),
        ("dilation same", [5, 6, 2], 3, {"kernel_size": [2, 3], "dilation_rate": [3, 2], "padding": "same"}),
        ("groups", [4, 5, 4], 5, {"kernel_size": [2, 2], "groups": 2}),
        ("groups strides same", [5, 4, 6], 1, {"kernel_size": 3, "groups": 2, "strides": 2, "padding": "same", "activation": "relu"}),
        ("no bias", [4, 3, 2], 5, {"kernel_size": 2, "use_bias": False}),
    ]:
        yield case(f"Conv2D {name}", shape, judged(of("Conv2D", filters=4, **arguments)), rows=rows)
    for name, shape, rows, arguments in [
        ("valid", [5, 4, 3], 5, {"kernel_size": [3, 2]}),
        ("multiplier strides valid", [6, 5, 2], 5, {"kernel_size": [3, 2], "strides": 2, "depth_multiplier": 2, "activation": "tanh"}),
        ("multiplier strides same", [5, 7, 2], 2, {"kernel_size": [2, 3], "strides": 2, "depth_multiplier": 3, "padding": "same"}),
        ("unequal strides", [7, 6, 2], 5, {"kernel_size": [2, 3], "strides": [3, 2], "padding": "same"}),
        ("unequal strides batch 1", [6, 7, 2], 1, {"kernel_size": 2, "strides": [1, 2], "padding": "same"}),
        ("dilation", [6, 7, 2], 5, {"kernel_size": [3, 2], "dilation_rate": [2, 3], "use_bias": False}),
    ]:
        yield case(f"DepthwiseConv2D {name}", shape, judged(of("DepthwiseConv2D", **arguments)), rows=rows)
    for name, shape, rows, arguments in [
        ("valid", [5, 4, 3], 5, {"kernel_size": [3, 2], "activation": "relu"}),
        ("multiplier strides same", [5, 7, 2], 1, {"kernel_size": [2, 3], "strides": 2, "depth_multiplier": 3, "padding": "same"}),
        ("unequal strides", [7, 6, 2], 5, {"kernel_size": [2, 3], "strides": [3, 2], "padding": "same", "depth_multiplier": 2}),
        ("dilation no bias", [6, 7, 2], 5, {"kernel_size": [3, 2], "dilation_rate": [2, 3], "use_bias": False}),
    ]:
        yield case(f"SeparableConv2D {name}", shape, judged(of("SeparableConv2D", filters=4, **arguments)), rows=rows)


def pools():
    for kind in ("MaxPooling", "AveragePooling"):
        for name, shape, rows, arguments in [
            ("", [7, 2], 5, {"pool_size": 2}),
            ("strides", [8, 2], 5, {"pool_size": 3, "strides": 2}),
            ("strides larger", [8, 2], 1, {"pool_size": 2, "strides": 3}),
            ("same", [8, 2], 5, {"pool_size": 4, "strides": 3, "padding": "same"}),
        ]:
            yield case(f"{kind}1D {name}".strip(), shape, judged(dense(2), of(f"{kind}1D", **arguments)), rows=rows)
        for name, shape, rows, arguments in [
            ("", [5, 4, 2], 5, {"pool_size": 2}),
            ("strides", [7, 6, 1], 5, {"pool_size": [3, 2], "strides": [1, 3]}),
            ("same", [5, 7, 2], 1, {"pool_size": [2, 3], "strides": [3, 2], "padding": "same"}),
            ("same overlapping", [5, 4, 1], 5, {"pool_size": [3, 4], "strides": [2, 1], "padding": "same"}),
        ]:
            yield case(f"{kind}2D {name}".strip(), shape, judged(dense(2), of(f"{kind}2D", **arguments)), rows=rows)
    for kind in ("GlobalAveragePooling", "GlobalMaxPooling"):
        for rank, shape in (("1D", [5, 3]), ("2D", [4, 3, 2])):
            yield case(f"{kind}{rank}", shape, [dense(4, "tanh"), of(kind + rank), dense(3, "softmax")])
            yield case(f"{kind}{rank} keepdims", shape, judged(dense(4, "tanh"), of(kind + rank, keepdims=True)), rows=1)


def shapes():
    yield case("Permute rank 2", [3, 4], judged(dense(2), of("Permute", dims=[2, 1]), dense(2)))
    yield case("Permute rank 3", [2, 3, 4], judged(of("Permute", dims=[3, 1, 2]), dense(2)), rows=1)
    yield case("Reshape with -1", [2, 6], judged(of("Reshape", target_shape=[3, -1]), dense(2, "tanh")))
    yield case("Rescaling", [3], judged(of("Rescaling", scale=0.25, offset=-1)))
    yield case("ZeroPadding2D default", [2, 3, 2], judged(dense(2), of("ZeroPadding2D"), dense(2)))
    yield case("ZeroPadding2D pair", [2, 3, 1], judged(dense(2), of("ZeroPadding2D", padding=[0, 2])), rows=1)
    yield case(
        "ZeroPadding2D asymmetric", [3, 2, 2], judged(dense(2), of("ZeroPadding2D", padding=[[1, 0], [2, 3]]), of("Conv2D", filters=2, kernel_size=2))
    )
    yield case("Dense no bias", [4], judged(dense(3, "tanh", use_bias=False)))
    yield case("LeakyReLU", [4], judged(dense(5), of("LeakyReLU")))
    yield case("LeakyReLU slope", [4], judged(dense(5), of("LeakyReLU", negative_slope=0.1)), rows=1)
    yield case("PReLU rank 1", [4], judged(dense(5), of("PReLU")))
    yield case("PReLU rank 3", [3, 2, 2], judged(dense(3), of("PReLU")))
    yield case("PReLU shared axes", [3, 2, 2], judged(dense(3), of("PReLU", shared_axes=[1, 2])))
    yield case("PReLU shared first axis", [3, 2], judged(dense(3), of("PReLU", shared_axes=[1])), rows=1)


def normalisations():
    for name, shape, rows, arguments in [
        ("rank 2", [4], 5, {}),
        ("rank 3", [3, 2], 5, {"momentum": 0.8}),
        ("rank 4", [3, 2, 2], 5, {"momentum": 0.9, "epsilon": 0.01}),
        ("rank 4 batch 1", [3, 2, 2], 1, {"momentum": 0.5}),
        ("no center", [4], 5, {"center": False, "momentum": 0.7}),
        ("no scale", [2, 3, 2], 5, {"scale": False, "momentum": 0.7}),
        ("no center no scale", [4], 5, {"center": False, "scale": False}),
    ]:
        norm = of("BatchNormalization", **arguments)
        yield case(f"BatchNormalization {name}", shape, judged(dense(4, use_bias=False), norm, of("Activation", activation="relu")), rows=rows)
    yield case(
        "BatchNormalization first and after a conv",
        [4, 3, 2],
        judged(
            of("BatchNormalization", momentum=0.6),
            of("Conv2D", filters=3, kernel_size=2, use_bias=False),
            of("BatchNormalization", momentum=0.6),
            of("MaxPooling2D"),
        ),
    )
    for name, shape, rows, arguments in [
        ("rank 2", [4], 5, {}),
        ("rank 4", [3, 2, 2], 5, {"epsilon": 0.01}),
        ("batch 1", [3, 2], 1, {}),
        ("no center", [4], 5, {"center": False}),
        ("no scale", [4], 5, {"scale": False}),
        ("no center no scale", [2, 4], 5, {"center": False, "scale": False}),
    ]:
        yield case(f"LayerNormalization {name}", shape, judged(dense(4), of("LayerNormalization", **arguments)), rows=rows)
    dropped = [
        ("Dropout", [4], {"rate": 0.5}),
        ("SpatialDropout2D", [3, 2, 2], {"rate": 0.5}),
        ("GaussianNoise", [4], {"stddev": 1}),
        ("LSTM", [3, 2], {"units": 3, "dropout": 0.5}),
        ("GRU", [3, 2], {"units": 3, "dropout": 0.5}),
    ]
    for kind, shape, arguments in dropped:
        yield case(f"{kind} in evaluation", shape, judged(dense(4, "tanh"), of(kind, **arguments)), steps=0)


def recurrent():
    embedding = of("Embedding", input_dim=6, output_dim=3)
    yield case("Embedding", [4], judged(embedding))
    yield case("Embedding adam", [4], judged(embedding), optimizer_=ADAM)
    yield case("Embedding one index", [1], judged(embedding), rows=1)
    yield case("Embedding rank 2", [2, 3], judged(embedding, dense(2)))
    yield case("Embedding averaged", [5], [of("Embedding", input_dim=3, output_dim=2), of("GlobalAveragePooling1D"), dense(3, "softmax")])
    yield case("Embedding LSTM", [4], judged(embedding, of("LSTM", units=2)))
    kinds = [("SimpleRNN", {}), ("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})]
    odd = {"SimpleRNN": {"activation": "relu"}, "LSTM": {"activation": "softsign", "recurrent_activation": "hard_sigmoid"},
           "GRU": {"activation": "elu", "recurrent_activation": "softplus"}}  # fmt: skip
    for kind, more in kinds:
        name = kind + (" reset before" if more else "")
        yield case(name, [4, 2], judged(of(kind, units=3, **more)))
        yield case(f"{name} sequences", [3, 2], judged(of(kind, units=3, return_sequences=True, **more)))
        yield case(f"{name} backwards", [4, 3], judged(of(kind, units=2, go_backwards=True, **more)), rows=1)
        yield case(f"{name} backwards sequences", [4, 3], judged(of(kind, units=2, go_backwards=True, return_sequences=True, **more)))
        yield case(f"{name} activations", [3, 2], judged(of(kind, units=3, **odd[kind], **more)))
        yield case(f"{name} no bias", [3, 2], judged(of(kind, units=3, use_bias=False, **more)))
        yield case(f"{name} one step", [1, 2], judged(of(kind, units=2, **more)), rows=1)
        yield case(
            f"{name} two deep", [3, 2], judged(dense(2), of(kind, units=3, return_sequences=True, **more), of(kind, units=2, **more)), optimizer_=ADAM
        )
    for kind, more in kinds:
        name = kind + (" reset before" if more else "")
        for merge in ("concat", "sum", "mul", "ave"):
            for sequences in (False, True) if kind == "LSTM" or merge == "concat" else (merge == "sum",):
                both = of("Bidirectional", wrapped=of(kind, units=2, return_sequences=sequences, **more), merge_mode=merge)
                yield case(f"Bidirectional {name} {merge}{' sequences' if sequences else ''}", [3, 2], judged(both), rows=5 if sequences else 1)
    both = of("Bidirectional", wrapped=of("GRU", units=2, return_sequences=True))
    yield case("Bidirectional two deep", [3, 2], judged(both, of("Bidirectional", wrapped=of("LSTM", units=2), merge_mode="sum")))


ACTIVATIONS = ["linear", "relu", "leaky_relu", "relu6", "elu", "selu", "gelu", "silu", "softplus", "softsign", "sigmoid", "hard_sigmoid", "tanh",
               "softmax", "log_softmax", "exponential"]  # fmt: skip


def activations():
    slow = {"name": "sgd", "learning_rate": 0.05}
    for name in ACTIVATIONS:
        yield case(f"{name}", [4], [dense(5, name), dense(3, "softmax")], optimizer_=slow, scale=2)
    for name in ("relu6", "hard_sigmoid"):
        yield case(
            f"{name} far out",
            [3],
            [dense(5), of("Rescaling", scale=6), of("Activation", activation=name), dense(3, "softmax")],
            optimizer_=slow,
            scale=2,
        )
    for name in ("softmax", "log_softmax", "gelu"):
        yield case(f"{name} in the middle", [3, 2], judged(dense(4, "tanh"), of("Activation", activation=name), dense(2)), optimizer_=slow, scale=2)
    yield case("swish", [4], [dense(3, "swish"), dense(1)], SQUARES, slow, scale=2)
    yield case("log_softmax of a conv", [4, 3, 2], judged(of("Conv2D", filters=3, kernel_size=2, activation="log_softmax")), optimizer_=slow)


def losses():
    hidden = dense(4, "tanh")
    for name, loss, end, classes in [
        ("sparse", SPARSE, dense(3, "softmax"), 3),
        ("sparse from logits", {"name": SPARSE, "from_logits": True}, dense(3), 3),
        ("sparse wider than the classes", SPARSE, dense(5, "softmax"), 3),
        ("sparse wider from logits", {"name": SPARSE, "from_logits": True}, dense(5), 3),
        ("sparse not normalised", SPARSE, dense(3, "softplus"), 3),
        ("categorical", ONE_HOT, dense(3, "softmax"), 3),
        ("categorical from logits", {"name": ONE_HOT, "from_logits": True}, dense(3), 3),
        ("categorical smoothing", {"name": ONE_HOT, "label_smoothing": 0.1}, dense(3, "softmax"), 3),
        ("categorical smoothing from logits", {"name": ONE_HOT, "label_smoothing": 0.3, "from_logits": True}, dense(3), 3),
        ("categorical not normalised", {"name": ONE_HOT, "label_smoothing": 0.1}, dense(3, "sigmoid"), 3),
        ("binary", BINARY, dense(1, "sigmoid"), 2),
        ("binary from logits", {"name": BINARY, "from_logits": True}, dense(1), 2),
        ("binary smoothing", {"name": BINARY, "label_smoothing": 0.2}, dense(1, "sigmoid"), 2),
        ("binary smoothing from logits", {"name": BINARY, "label_smoothing": 0.2, "from_logits": True}, dense(1), 2),
        ("binary one-hot", BINARY, dense(3, "sigmoid"), 3),
        ("binary one-hot of two", BINARY, dense(2, "softmax"), 2),
        ("binary one-hot from logits", {"name": BINARY, "from_logits": True}, dense(3), 3),
        ("binary one-hot smoothing", {"name": BINARY, "label_smoothing": 0.2}, dense(3, "sigmoid"), 3),
        ("mean_squared_error", SQUARES, dense(1), None),
        ("mean_absolute_error", "mean_absolute_error", dense(1), None),
        ("huber", "huber", dense(1), None),
        ("huber delta", {"name": "huber", "delta": 0.3}, dense(1), None),
        ("log_cosh", "log_cosh", dense(1), None),
        ("poisson", "poisson", dense(1, "softplus"), None),
        ("kl_divergence", "kl_divergence", dense(3, "softmax"), 3),
        ("kl_divergence not normalised", "kl_divergence", dense(3, "sigmoid"), 3),
        ("hinge", "hinge", dense(1), 2),
        ("hinge tanh", "hinge", dense(1, "tanh"), 2),
    ]:
        scale = 2 if name.startswith(("huber", "hinge")) else 1
        yield case(name, [3], [hidden, end], loss, classes=classes, scale=scale)
        if name in ("sparse", "categorical smoothing", "binary", "binary one-hot", "mean_absolute_error", "huber", "kl_divergence", "hinge"):
            yield case(f"{name} batch 1", [3], [hidden, end], loss, classes=classes, rows=1)
            yield case(f"{name} sample weight", [3], [hidden, end], loss, classes=classes, weighted=True)
            if classes:
                yield case(f"{name} class weight", [3], [hidden, end], loss, classes=classes, rows=7, class_weight={"0": 0.5, "1": 2.5})
    yield case(
        "sample weight and penalties", [3], [dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l1"), dense(3, "softmax")], weighted=True
    )
    yield case(
        "class weight and penalties",
        [3],
        [dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l1"), dense(3, "softmax")],
        class_weight={"0": 0.5, "2": 3.0},
    )


def optimizers():
    network = [dense(4, "tanh"), dense(3, "softmax")]
    fast = {"learning_rate": 0.05}

    def train(name, document, network=network):
        return case(name, [4], network, optimizer_=document, steps=5)

    for name in OPTIMIZERS:
        yield train(f"{name} defaults", name)
    for name, arguments in [
        ("sgd", {"momentum": 0.9}), ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("rmsprop", {}), ("rmsprop", {"rho": 0.7, "epsilon": 1e-3}), ("rmsprop", {"momentum": 0.8}), ("rmsprop", {"centered": True}),
        ("rmsprop", {"momentum": 0.8, "centered": True}),
        ("adam", {}), ("adam", {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}), ("adam", {"amsgrad": True, "beta_2": 0.4, "learning_rate": 0.5}),
        ("adamw", {}), ("adamw", {"weight_decay": 0.1}), ("adamw", {"amsgrad": True, "beta_2": 0.4, "learning_rate": 0.5}),
        ("nadam", {}), ("nadam", {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}),
        ("adamax", {}), ("adamax", {"beta_1": 0.7, "beta_2": 0.6, "epsilon": 1e-3}),
        ("adagrad", {}), ("adagrad", {"initial_accumulator_value": 0.01, "epsilon": 1e-3}),
        ("adadelta", {"learning_rate": 1.0}), ("adadelta", {"learning_rate": 1.0, "rho": 0.7, "epsilon": 1e-3}),
        ("lion", {}), ("lion", {"beta_1": 0.5, "beta_2": 0.6}),
        *[(name, extra) for name in ("sgd", "adam") for extra in ({"clipnorm": 0.1}, {"clipvalue": 0.02}, {"global_clipnorm": 0.1})],
        *[(name, {"weight_decay": 0.1}) for name in ("sgd", "rmsprop", "adam", "nadam", "adamax", "adagrad", "adadelta", "lion")],
        *[(name, {"use_ema": True, "ema_momentum": 0.8} | extra) for name in ("sgd", "adam") for extra in ({}, {"ema_overwrite_frequency": 2})],
        ("lion", {"use_ema": True, "ema_overwrite_frequency": 2}),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.1, "clipnorm": 0.3, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3}),
    ]:  # fmt: skip
        words = " ".join(f"{key} {value}" if value is not True else key for key, value in arguments.items())
        yield train(f"{name} {words or 'fast'}", {"name": name} | fast | arguments)
    for kind, schedule in [
        ("sgd", {"name": "exponential_decay", "initial_learning_rate": 0.5, "decay_steps": 2, "decay_rate": 0.5}),
        ("adam", {"name": "piecewise_constant_decay", "boundaries": [1, 3], "values": [0.1, 0.02, 0.3]}),
        ("adamw", {"name": "cosine_decay", "initial_learning_rate": 0.01, "decay_steps": 3, "warmup_target": 0.2, "warmup_steps": 2}),
        ("nadam", {"name": "inverse_time_decay", "initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 0.5}),
    ]:
        yield train(f"{kind} {schedule['name']}", {"name": kind, "learning_rate": schedule})
    ema = {"name": "sgd", "learning_rate": 0.5, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2}
    yield train("ema and a constraint", ema, [dense(4, "tanh", kernel_constraint={"name": "max_norm", "max_value": 0.7}), dense(3, "softmax")])
    yield train("ema and batch normalization", ema, [dense(4, use_bias=False), of("BatchNormalization", momentum=0.7), dense(3, "softmax")])


def regularizers():
    end = dense(3, "softmax")
    for name, document in [
        ("l1", "l1"),
        ("l2", "l2"),
        ("l1_l2", "l1_l2"),
        ("l1 given", {"name": "l1", "l1": 0.1}),
        ("l2 given", {"name": "l2", "l2": 0.2}),
        ("l1_l2 given", {"name": "l1_l2", "l1": 0.05, "l2": 0.1}),
    ]:
        for where in ("kernel", "bias", "activity"):
            yield case(f"{where} {name}", [3], [dense(4, "tanh", **{f"{where}_regularizer": document}), end])
    both = {"name": "l1_l2", "l1": 0.05, "l2": 0.1}
    yield case("activity of a sequence", [3, 2], judged(dense(4, "tanh", activity_regularizer=both)))
    yield case("activity batch 1", [3], [dense(4, "tanh", activity_regularizer=both), end], rows=1)
    yield case(
        "activity before and after a linear layer", [3], [dense(4, "relu", activity_regularizer=both), dense(3, "softmax", activity_regularizer="l2")]
    )
    yield case("regression with penalties", [3], [dense(4, "tanh", kernel_regularizer=both), dense(1, bias_regularizer="l1")], SQUARES, ADAM)
    more = {"kernel_regularizer": both, "bias_regularizer": "l1", "activity_regularizer": "l2"}
    yield case("conv 1d penalties", [5, 2], judged(of("Conv1D", filters=2, kernel_size=2, **more)))
    yield case("conv 2d penalties", [3, 4, 2], judged(of("Conv2D", filters=2, kernel_size=2, activation="relu", **more)))
    pairs = {"depthwise_regularizer": both, "bias_regularizer": "l1", "activity_regularizer": "l2"}
    yield case("depthwise penalties", [3, 4, 2], judged(of("DepthwiseConv2D", kernel_size=2, **pairs)))
    yield case("separable penalties", [3, 4, 2], judged(of("SeparableConv2D", filters=2, kernel_size=2, pointwise_regularizer="l2", **pairs)))
    yield case("normalization penalties", [4], judged(dense(3), of("BatchNormalization", beta_regularizer="l1", gamma_regularizer=both)))
    yield case("layer normalization penalties", [4], judged(dense(3), of("LayerNormalization", beta_regularizer="l1", gamma_regularizer=both)))
    yield case("embedding penalties", [4], judged(of("Embedding", input_dim=6, output_dim=3, embeddings_regularizer=both)))
    yield case("prelu penalties", [4], judged(dense(3), of("PReLU", alpha_regularizer=both)))
    for kind in ("SimpleRNN", "LSTM", "GRU"):
        for sequences in (False, True):
            unit = of(kind, units=2, return_sequences=sequences, recurrent_regularizer="l2", **more)
            if kind == "SimpleRNN":  # Keras 3.15 takes its activity_regularizer and drops it
                unit = {key: value for key, value in unit.items() if key != "activity_regularizer"}
            yield case(f"{kind} penalties{' sequences' if sequences else ''}", [3, 2], judged(unit))
    unit = of("LSTM", units=2, return_sequences=True, recurrent_regularizer="l2", **more)
    yield case("Bidirectional penalties", [3, 2], judged(of("Bidirectional", wrapped=unit)))
    yield case("Bidirectional penalties sum", [3, 2], judged(of("Bidirectional", wrapped=unit | {"return_sequences": False}, merge_mode="sum")))

    tight = {"name": "max_norm", "max_value": 0.5}
    for name, document in [
        ("max_norm", "max_norm"),
        ("max_norm tight", tight),
        ("max_norm axis 1", tight | {"axis": 1}),
        ("max_norm axes", tight | {"axis": [0, 1]}),
        ("unit_norm", "unit_norm"),
        ("unit_norm axis 1", {"name": "unit_norm", "axis": 1}),
        ("non_neg", "non_neg"),
    ]:
        yield case(f"kernel {name}", [3], [dense(4, "tanh", kernel_constraint=document), end])
        if name in ("max_norm tight", "unit_norm", "non_neg"):
            yield case(f"bias {name}", [3], [dense(4, "tanh", bias_constraint=document), end], optimizer_=ADAM)
    yield case("conv max_norm axes", [3, 4, 2], judged(of("Conv2D", filters=2, kernel_size=2, kernel_constraint=tight | {"axis": [0, 1, 2]})))
    yield case(
        "conv 1d unit_norm axes", [4, 2], judged(of("Conv1D", filters=2, kernel_size=2, kernel_constraint={"name": "unit_norm", "axis": [0, 1]}))
    )
    yield case(
        "depthwise unit_norm", [3, 4, 2], judged(of("DepthwiseConv2D", kernel_size=2, depthwise_constraint={"name": "unit_norm", "axis": [0, 1]}))
    )
    yield case(
        "separable constraints",
        [3, 4, 2],
        judged(of("SeparableConv2D", filters=2, kernel_size=2, depthwise_constraint="non_neg", pointwise_constraint=tight | {"axis": 2})),
    )
    yield case("normalization constraints", [4], judged(dense(3), of("BatchNormalization", beta_constraint="non_neg", gamma_constraint="unit_norm")))
    yield case("layer normalization constraints", [4], judged(dense(3), of("LayerNormalization", beta_constraint="non_neg", gamma_constraint=tight)))
    yield case("embedding max_norm", [4], judged(of("Embedding", input_dim=6, output_dim=3, embeddings_constraint=tight | {"axis": 1})))
    yield case("prelu non_neg", [4], judged(dense(3), of("PReLU", alpha_constraint="non_neg")))
    yield case(
        "recurrent constraints",
        [3, 2],
        judged(of("GRU", units=2, kernel_constraint=tight, recurrent_constraint="unit_norm", bias_constraint="non_neg")),
    )
    yield case(
        "Bidirectional constraints",
        [3, 2],
        judged(of("Bidirectional", wrapped=of("LSTM", units=2, kernel_constraint="non_neg", recurrent_constraint=tight))),
    )
    yield case("penalty and constraint", [3], [dense(4, "tanh", kernel_regularizer=both, kernel_constraint=tight), end], optimizer_=ADAM)


def schedules():
    decay = {"initial_learning_rate": 0.1, "decay_steps": 10}
    for name, document in [
        ("exponential", {"name": "exponential_decay", "decay_rate": 0.5} | decay),
        ("exponential staircase", {"name": "exponential_decay", "decay_rate": 0.5, "staircase": True} | decay),
        ("polynomial", {"name": "polynomial_decay"} | decay),
        ("polynomial power", {"name": "polynomial_decay", "end_learning_rate": 0.01, "power": 2.0} | decay),
        ("polynomial cycle", {"name": "polynomial_decay", "end_learning_rate": 0.01, "power": 0.5, "cycle": True} | decay),
        ("inverse time", {"name": "inverse_time_decay", "decay_rate": 0.5} | decay),
        ("inverse time staircase", {"name": "inverse_time_decay", "decay_rate": 0.5, "staircase": True} | decay),
        ("piecewise", {"name": "piecewise_constant_decay", "boundaries": [3, 7, 8], "values": [0.1, 0.05, 0.2, 0.01]}),
        ("piecewise two", {"name": "piecewise_constant_decay", "boundaries": [5], "values": [0.1, 0.01]}),
        ("cosine", {"name": "cosine_decay"} | decay),
        ("cosine alpha", {"name": "cosine_decay", "alpha": 0.2} | decay),
        ("cosine warmup", {"name": "cosine_decay", "initial_learning_rate": 0.0, "decay_steps": 12, "warmup_target": 0.1, "warmup_steps": 5}),
        (
            "cosine warmup alpha",
            {"name": "cosine_decay", "initial_learning_rate": 0.02, "decay_steps": 12, "alpha": 0.1, "warmup_target": 0.3, "warmup_steps": 7},
        ),
        ("cosine warmup without a target", {"name": "cosine_decay", "warmup_steps": 5} | decay),
        ("cosine warmup without steps", {"name": "cosine_decay", "warmup_target": 0.4} | decay),
        ("restarts", {"name": "cosine_decay_restarts", "initial_learning_rate": 0.1, "first_decay_steps": 4}),
        (
            "restarts of equal length",
            {"name": "cosine_decay_restarts", "initial_learning_rate": 0.1, "first_decay_steps": 6, "t_mul": 1.0, "m_mul": 0.5, "alpha": 0.1},
        ),
        (
            "restarts half longer",
            {"name": "cosine_decay_restarts", "initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.05},
        ),
    ]:
        schedule = named(document, SCHEDULES)
        yield {"name": name, "document": document, "values": [plain(schedule(step)) for step in range(26)]}


def metrics():
    rng = np.random.default_rng(1)
    sizes = (4, 7, 2)

    def of(name, document, classes, width, batches):
        batches = [(np.round(output, 4), y) for output, y in batches]
        return {
            "name": name, "metric": document, "classes": classes, "width": width,
            "batches": [{"output": flat(output), "y": y.tolist()} for output, y in batches], "value": metric(document, classes, width, batches),
        }  # fmt: skip

    sigmoid = lambda shape: 1 / (1 + np.exp(-rng.normal(size=shape) * 1.5))

    def softmax(shape):
        x = np.exp(rng.normal(size=shape) * 1.5)
        return x / x.sum(-1, keepdims=True)

    for name in ("accuracy", "binary_accuracy", "precision", "recall", "auc", "f1_score"):
        yield of(f"{name} binary", name, 2, 1, [(sigmoid((n, 1)), rng.integers(0, 2, n)) for n in sizes])
    for name in ("accuracy", "categorical_accuracy", "sparse_categorical_accuracy", "precision", "recall", "auc", "f1_score"):
        yield of(f"{name} of 4 classes", name, 4, 4, [(softmax((n, 4)), rng.integers(0, 4, n)) for n in sizes])
    for name in ("precision", "recall", "auc", "f1_score"):
        yield of(f"{name} of 3 sigmoids", name, 3, 3, [(sigmoid((n, 3)), rng.integers(0, 3, n)) for n in sizes])
        yield of(f"{name} of 2 classes", name, 2, 2, [(softmax((n, 2)), rng.integers(0, 2, n)) for n in sizes])
    for k in (2, 5):
        yield of(f"top {k} of 7", {"name": "top_k_categorical_accuracy", "k": k}, 7, 7, [(softmax((n, 7)), rng.integers(0, 7, n)) for n in sizes])
    yield of("top 5 of 7 by default", "top_k_categorical_accuracy", 7, 7, [(softmax((n, 7)), rng.integers(0, 7, n)) for n in sizes])
    for name in ("mse", "rmse", "mae", "r2_score"):
        yield of(name, name, None, 1, [(rng.normal(size=(n, 1)), np.round(rng.normal(size=n), 4)) for n in sizes])
    # At the edges.
    for name in ("binary_accuracy", "precision", "recall", "auc", "f1_score"):
        yield of(f"{name} at the threshold", name, 2, 1, [(np.array([[0.5], [0.5], [0.25], [0.75]]), np.array([0, 1, 1, 1]))])
        yield of(f"{name} of nothing predicted", name, 2, 1, [(np.array([[0.1], [0.2], [0.3]]), np.array([0, 1, 1]))])
        yield of(f"{name} without positives", name, 2, 1, [(np.array([[0.1], [0.7], [0.3]]), np.array([0, 0, 0]))])
        yield of(f"{name} without negatives", name, 2, 1, [(np.array([[0.1], [0.7], [0.3]]), np.array([1, 1, 1]))])
    yield of("auc of extremes", "auc", 2, 1, [(np.array([[0.0], [1.0], [1.0], [0.0], [0.5]]), np.array([0, 1, 0, 1, 1]))])
    yield of("auc of equal outputs", "auc", 2, 1, [(np.full((5, 1), 0.3), np.array([0, 1, 0, 1, 1]))])
    yield of("auc of close outputs", "auc", 2, 1, [(np.array([[0.501], [0.502], [0.503], [0.504]]), np.array([0, 1, 0, 1]))])
    yield of("f1_score of a class that never comes", "f1_score", 4, 4, [(softmax((6, 4)), rng.integers(0, 2, 6))])
    yield of("r2_score of one row", "r2_score", None, 1, [(np.array([[0.3]]), np.array([0.5]))])
    yield of("r2_score of equal labels", "r2_score", None, 1, [(np.array([[0.3], [0.4]]), np.array([0.5, 0.5]))])
    yield of("r2_score worse than the mean", "r2_score", None, 1, [(np.array([[3.0], [-4.0]]), np.array([0.5, 0.7]))])


FAMILIES = {
    "layers": [engine, convolutions, pools, shapes, normalisations], "recurrent": [recurrent], "activations": [activations], "losses": [losses],
    "optimizers": [optimizers], "regularizers": [regularizers], "schedules": [schedules], "metrics": [metrics],
}  # fmt: skip

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    for family, parts in FAMILIES.items():
        cases = [case for part in parts for case in part()]
        assert len({case["name"] for case in cases}) == len(cases), family
        (folder / f"{family}.json").write_text("[\n" + ",\n".join(json.dumps(case, allow_nan=False) for case in cases) + "\n]\n")
        print(family, len(cases), "cases")
