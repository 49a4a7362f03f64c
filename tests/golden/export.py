"""Models for the export, made by Keras, and the proof that onnxruntime and Keras compute the same with what we export.

    python export.py make FOLDER     writes NAME.safetensors for each model here, as a trainer of ours would
    python export.py check FOLDER    after `convert FOLDER`: compares NAME.onnx and NAME.keras with Keras on 100 inputs, and writes
                                     NAME's largest differences and the exports' SHA-256 to export.json

`make export-check PYTHON=…` does both; a test of the crate `export` holds its bytes to these sums. The numbers in export.json were
made by keras 3.15.1 (TensorFlow 2.21.0), onnxruntime 1.32.0 and onnx 1.23.2.
"""

import copy
import hashlib
import json
import os
import struct
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

ACTIVATIONS = """linear relu leaky_relu relu6 elu selu gelu silu softplus softsign sigmoid hard_sigmoid tanh softmax log_softmax
exponential""".split()
INPUTS = 100
TOLERANCE = 1e-5


def models():
    """Name -> (input shape, layers), the layers as our documents have them."""
    yield "mlp", [12], [
        {"layer": "Dense", "units": 16, "activation": "relu", "kernel_initializer": {"name": "variance_scaling", "scale": 2},
         "kernel_regularizer": {"name": "l1_l2", "l1": 0.001, "l2": 0.01}, "bias_constraint": "non_neg"},
        {"layer": "BatchNormalization"}, {"layer": "Dropout", "rate": 0.2},
        {"layer": "Dense", "units": 8, "use_bias": False, "kernel_constraint": {"name": "max_norm", "max_value": 3, "axis": [0]}},
        {"layer": "LayerNormalization"}, {"layer": "LeakyReLU", "negative_slope": 0.1}, {"layer": "GaussianNoise", "stddev": 0.1},
        {"layer": "Dense", "units": 5, "activation": "softmax"}]
    yield "cnn", [28, 28, 1], [
        {"layer": "Rescaling", "scale": 0.5, "offset": 0.1},
        {"layer": "Conv2D", "filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}, {"layer": "BatchNormalization"},
        {"layer": "MaxPooling2D"}, {"layer": "Conv2D", "filters": 8, "kernel_size": 3, "use_bias": False},
        {"layer": "BatchNormalization", "scale": False}, {"layer": "Activation", "activation": "relu"}, {"layer": "MaxPooling2D"},
        {"layer": "SpatialDropout2D", "rate": 0.2}, {"layer": "Flatten"}, {"layer": "Dropout", "rate": 0.5},
        {"layer": "Dense", "units": 10, "activation": "softmax"}]
    yield "windows", [9, 8, 4], [
        {"layer": "ZeroPadding2D", "padding": [[1, 2], [0, 3]]},
        {"layer": "Conv2D", "filters": 6, "kernel_size": [3, 2], "strides": 2, "padding": "same", "groups": 2},
        {"layer": "PReLU", "shared_axes": [1, 2]}, {"layer": "MaxPooling2D", "pool_size": 2, "strides": 1, "padding": "same"},
        {"layer": "AveragePooling2D", "pool_size": 3, "strides": 2, "padding": "same"}, {"layer": "Activation", "activation": "softmax"},
        {"layer": "Conv2D", "filters": 5, "kernel_size": 2, "padding": "same", "dilation_rate": [1, 2], "activation": "softmax"},
        {"layer": "PReLU"}, {"layer": "LayerNormalization", "center": False}, {"layer": "Permute", "dims": [2, 3, 1]},
        {"layer": "Reshape", "target_shape": [-1, 3]}, {"layer": "Dense", "units": 4}, {"layer": "Flatten"}, {"layer": "Dense", "units": 3}]
    yield "separable", [12, 11, 3], [
        {"layer": "SeparableConv2D", "filters": 6, "kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2, "activation": "gelu"},
        {"layer": "DepthwiseConv2D", "kernel_size": [2, 3], "depth_multiplier": 2, "activation": "relu6"}, {"layer": "BatchNormalization", "center": False},
        {"layer": "SeparableConv2D", "filters": 5, "kernel_size": 3, "dilation_rate": 2, "padding": "same", "use_bias": False},
        {"layer": "GlobalAveragePooling2D", "keepdims": True}, {"layer": "Conv2D", "filters": 4, "kernel_size": 1, "activation": "tanh"},
        {"layer": "GlobalMaxPooling2D"}, {"layer": "Dense", "units": 3}]
    yield "pooled", [7, 6, 4], [{"layer": "Conv2D", "filters": 5, "kernel_size": 2}, {"layer": "GlobalAveragePooling2D"}]
    yield "steps", [16, 3], [
        {"layer": "Conv1D", "filters": 6, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "silu"}, {"layer": "BatchNormalization"},
        {"layer": "MaxPooling1D", "strides": 1, "padding": "same"}, {"layer": "Conv1D", "filters": 6, "kernel_size": 2, "dilation_rate": 2, "groups": 3},
        {"layer": "AveragePooling1D", "pool_size": 2}, {"layer": "GlobalMaxPooling1D", "keepdims": True}, {"layer": "GlobalAveragePooling1D"}, {"layer": "Dense", "units": 2}]
    yield "lstm", [10, 4], [
        {"layer": "LSTM", "units": 8, "return_sequences": True, "dropout": 0.1}, {"layer": "LSTM", "units": 6}, {"layer": "Dense", "units": 3}]
    yield "gru", [10, 4], [
        {"layer": "GRU", "units": 8, "return_sequences": True}, {"layer": "GRU", "units": 6, "reset_after": False, "use_bias": False, "return_sequences": True},
        {"layer": "GRU", "units": 5, "reset_after": False, "recurrent_activation": "hard_sigmoid"}, {"layer": "Dense", "units": 1}]
    yield "rnn", [10, 4], [
        {"layer": "SimpleRNN", "units": 8, "return_sequences": True, "go_backwards": True}, {"layer": "SimpleRNN", "units": 6, "activation": "relu"}]
    yield "backwards", [7, 3], [
        {"layer": cell, "units": 4, "return_sequences": True, "go_backwards": True} for cell in ["LSTM", "GRU", "SimpleRNN"]
    ] + [{"layer": "LSTM", "units": 4, "go_backwards": True}]
    yield "bidirectional", [9, 3], [
        {"layer": "Bidirectional", "wrapped": {"layer": cell, "units": 4, "return_sequences": True, "dropout": 0.1}, "merge_mode": mode}
        for cell, mode in [("LSTM", "concat"), ("GRU", "sum"), ("SimpleRNN", "mul"), ("LSTM", "ave")]
    ] + [{"layer": "Bidirectional", "wrapped": {"layer": "GRU", "units": 3}}]
    yield "words", [11], [
        {"layer": "Embedding", "input_dim": 20, "output_dim": 5}, {"layer": "Bidirectional", "wrapped": {"layer": "LSTM", "units": 4}},
        {"layer": "Dense", "units": 2, "activation": "softmax"}]
    yield "bag", [11], [
        {"layer": "Embedding", "input_dim": 20, "output_dim": 5}, {"layer": "GlobalAveragePooling1D"}, {"layer": "Dense", "units": 2, "activation": "log_softmax"}]
    # All activations, also inside recurrent layers and at their gates, each there beside another one than itself. What an exponential lets
    # grow or a softmax lets vanish, the next layer must not get.
    for cell in ["Dense", "SimpleRNN", "LSTM", "GRU"]:
        layers = []
        for at, activation in enumerate(ACTIVATIONS):
            layer = {"layer": cell, "units": 4, "activation": activation}
            if cell != "Dense":
                layer.update({"return_sequences": True, "go_backwards": at % 4 == 1})
            if cell in ("LSTM", "GRU"):
                layer["recurrent_activation"] = ACTIVATIONS[(at * 5 + 3) % 16]
            if cell == "GRU":
                layer["reset_after"] = at % 3 > 0
            # A large epsilon, lest it blow up differences where all is near 0.
            layers += [layer, {"layer": "LayerNormalization", "epsilon": 0.1}]
        # In four, for differences grow from layer to layer.
        for part in range(4):
            yield f"activations_{cell.lower()}_{part}", [3, 4], layers[part * 8 : part * 8 + 8]
    yield "identity", [3], [{"layer": "Dropout", "rate": 0.1}]


def keras_layer(document):
    """The layer of a document; their arguments are Keras's."""
    arguments = copy.deepcopy(document)
    kind = getattr(keras.layers, arguments.pop("layer"))
    for name, value in arguments.items():
        of = {"initializer": keras.initializers, "regularizer": keras.regularizers, "constraint": keras.constraints}.get(name.split("_")[-1])
        if of and isinstance(value, dict):
            class_name = "".join(word.capitalize() for word in value.pop("name").split("_"))
            arguments[name] = getattr(of, class_name)(**value)
    if "wrapped" in arguments:
        arguments["layer"] = keras_layer(arguments.pop("wrapped"))
    return kind(**arguments)


def built(name, shape, layers):
    """The Keras model, with weights drawn from the name: none zero, so that each counts, and small, so that nothing grows over many layers."""
    rng = np.random.default_rng(list(name.encode()))
    # Where the exponential feeds itself, a little more is infinite.
    scale = 0.25 if name.startswith("activations_") and name.endswith("3") else 1
    model = keras.Sequential([keras.Input(shape)] + [keras_layer(layer) for layer in layers])
    for layer in model.layers:
        for weight in layer.weights:
            fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 25
            numbers = rng.normal(size=weight.shape) / np.sqrt(fan_in) * scale
            if weight.name in ("gamma", "moving_variance"):
                numbers = rng.uniform(0.5, 1.5, size=weight.shape)
            weight.assign(numbers.astype(np.float32))
    return model


def weights(model):
    """Our name -> weight."""
    for index, layer in enumerate(model.layers):
        for at, weight in enumerate(layer.weights):
            half = len(layer.weights) // 2
            direction = ("forward." if at < half else "backward.") if isinstance(layer, keras.layers.Bidirectional) else ""
            yield f"layers.{index}.{direction}{weight.name}", np.asarray(weight)


def inputs(name, shape, layers):
    rng = np.random.default_rng(list(f"{name} inputs".encode()))
    if layers[0]["layer"] == "Embedding":
        return rng.integers(0, layers[0]["input_dim"], size=[INPUTS, *shape]).astype(np.float32)
    return rng.normal(size=[INPUTS, *shape]).astype(np.float32)


def safetensors(path, tensors, document):
    """Writes a file as `trainer/src/weights.rs` does (<https://huggingface.co/docs/safetensors>)."""
    header, data = {"__metadata__": {"format": "pt", "chandler": json.dumps(document)}}, b""
    for name, numbers in tensors:
        start, data = len(data), data + numbers.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(numbers.shape), "data_offsets": [start, len(data)]}
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + data)


def make(folder):
    for name, shape, layers in models():
        document = {"study": "golden", "trial": 0, "hyperparameters": {}, "input_shape": shape, "network": layers, "scale": "none"}
        safetensors(f"{folder}/{name}.safetensors", weights(built(name, shape, layers)), document)


def check(folder):
    import onnx
    import onnxruntime

    table, bad = {}, []
    for name, shape, layers in models():
        rows = inputs(name, shape, layers)
        expected = built(name, shape, layers).predict(rows, verbose=0)
        onnx.checker.check_model(f"{folder}/{name}.onnx", full_check=True)
        session = onnxruntime.InferenceSession(f"{folder}/{name}.onnx", providers=["CPUExecutionProvider"])
        loaded = keras.models.load_model(f"{folder}/{name}.keras")
        got = {"onnx": session.run(["output"], {"input": rows})[0], "keras": loaded.predict(rows, verbose=0)}
        # Of a constant, or of what is not a number, nothing could be seen.
        assert np.ptp(expected, axis=0).max() > 0.01, name
        row = {}
        for kind, output in got.items():
            assert output.shape == expected.shape, (name, kind, output.shape, expected.shape)
            with open(f"{folder}/{name}.{kind}", "rb") as file:
                row[kind] = {"difference": float(np.abs(output - expected).max()), "sha256": hashlib.sha256(file.read()).hexdigest()}
            if not row[kind]["difference"] <= TOLERANCE:
                bad.append(f"{name}.{kind}")
        print(f"{name:24} onnx {row['onnx']['difference']:.1e}  keras {row['keras']['difference']:.1e}  (outputs up to {np.abs(expected).max():.2g})")
        table[name] = row
    if bad:
        sys.exit(f"off by more than {TOLERANCE}: {', '.join(bad)}")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "export.json"), "w") as file:
        json.dump(table, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2])
