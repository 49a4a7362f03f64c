//! A network as JSON, under the names of the study document: what stands beside the weights.

use hpo::network::{Activation, Initializer, Layer};
use serde_json::{Value as Json, json};

/// The layers with every argument, in order.
pub(crate) fn network(layers: &[Layer]) -> Json {
    layers.iter().map(layer).collect()
}

fn layer(layer: &Layer) -> Json {
    let mut json = match layer {
        Layer::Flatten => json!({}),
        Layer::Reshape { target_shape } => json!({"target_shape": target_shape}),
        Layer::Rescaling { scale, offset } => json!({"scale": scale, "offset": offset}),
        Layer::Activation { activation } => json!({"activation": activation.as_str()}),
        Layer::Dropout { rate } => json!({"rate": rate}),
        Layer::MaxPooling2D(pool) => json!({"pool_size": pool.pool_size, "strides": pool.strides, "padding": pool.padding.as_str()}),
        Layer::Dense(dense) => {
            let rest = affine(dense.activation, dense.use_bias, dense.kernel_initializer, dense.bias_initializer);
            merged(json!({"units": dense.units}), rest)
        }
        Layer::Conv2D(conv) => {
            let own = json!({"filters": conv.filters, "kernel_size": conv.kernel_size, "strides": conv.strides, "padding": conv.padding.as_str()});
            merged(own, affine(conv.activation, conv.use_bias, conv.kernel_initializer, conv.bias_initializer))
        }
    };
    json["layer"] = json!(layer.class());
    json
}

fn affine(activation: Activation, use_bias: bool, kernel: Initializer, bias: Initializer) -> Json {
    json!({"activation": activation.as_str(), "use_bias": use_bias, "kernel_initializer": kernel.as_str(), "bias_initializer": bias.as_str()})
}

fn merged(mut a: Json, b: Json) -> Json {
    if let (Json::Object(a), Json::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::plan;

    #[test]
    fn the_document_reads_back_as_the_same_layers() {
        let network = json!([
            {"layer": "Reshape", "target_shape": [8, -1, 1]}, {"layer": "Rescaling", "scale": 0.5, "offset": 1.0},
            {"layer": "Conv2D", "filters": 4, "kernel_size": [3, 2], "strides": 2, "padding": "same", "activation": "relu", "kernel_initializer": "he_normal"},
            {"layer": "MaxPooling2D", "pool_size": 3, "strides": 1, "padding": "same"}, {"layer": "Flatten"}, {"layer": "Dropout", "rate": 0.25},
            {"layer": "Dense", "units": 3, "use_bias": false}, {"layer": "Activation", "activation": "softmax"}
        ]);
        let training = json!({"optimizer": "adam", "loss": "mean_squared_error"});
        let layers = plan(&network, &training).layers;
        assert_eq!(plan(&super::network(&layers), &training).layers, layers);
    }
}
