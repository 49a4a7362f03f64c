//! Writes a concrete layer as a document with every argument. It is stored with the weights of a
//! trained model and read back from there.

use serde_json::{Map, Value as Json, json};

use super::{
    Constraint, Conv, Initializer, Layer, Output, Padding, Pool, Recurrent, Regularizer, WeightSpec,
};
use crate::document::{FromDocument, Problem, Reading};

impl Layer {
    /// The layer that a document without hyperparameters describes. Errors: everything wrong with
    /// it.
    pub fn from_document(document: &Json) -> Result<Layer, Vec<Problem>> {
        let reading = Reading::default();
        let layer = Layer::from_place(&reading.root(document, None));
        let problems = reading.into_problems();
        match layer {
            Some(layer) if problems.is_empty() => Ok(layer),
            _ => Err(problems),
        }
    }

    /// The document of this layer: class and arguments, defaults included.
    /// [`from_document`](Layer::from_document) turns it into the same layer.
    pub fn to_document(&self) -> Json {
        let mut arguments = Arguments::default();
        arguments.put("layer", self.class());
        match self {
            Layer::Flatten => {}
            Layer::Reshape { target_shape } => arguments.put("target_shape", target_shape.as_slice()),
            Layer::Permute { dims } => arguments.put("dims", dims.as_slice()),
            Layer::Rescaling { scale, offset } => {
                arguments.put("scale", *scale);
                arguments.put("offset", *offset);
            }
            Layer::ZeroPadding2D { padding } => arguments.put("padding", json!(padding)),
            Layer::Dense(dense) => {
                arguments.put("units", dense.units);
                arguments.output(&dense.output);
                arguments.weight("kernel", &dense.kernel);
                arguments.weight("bias", &dense.output.bias);
            }
            Layer::Conv1D(conv) => arguments.conv(1, conv),
            Layer::Conv2D(conv) => arguments.conv(2, conv),
            Layer::DepthwiseConv2D(conv) => {
                arguments.put("depth_multiplier", conv.depth_multiplier);
                arguments.window(2, conv.kernel_size, conv.strides, conv.dilation_rate, conv.padding);
                arguments.output(&conv.output);
                arguments.weight("depthwise", &conv.depthwise);
                arguments.weight("bias", &conv.output.bias);
            }
            Layer::SeparableConv2D(conv) => {
                arguments.put("filters", conv.filters);
                arguments.put("depth_multiplier", conv.depth_multiplier);
                arguments.window(2, conv.kernel_size, conv.strides, conv.dilation_rate, conv.padding);
                arguments.output(&conv.output);
                arguments.weight("depthwise", &conv.depthwise);
                arguments.weight("pointwise", &conv.pointwise);
                arguments.weight("bias", &conv.output.bias);
            }
            Layer::MaxPooling1D(pool) | Layer::AveragePooling1D(pool) => arguments.pool(1, pool),
            Layer::MaxPooling2D(pool) | Layer::AveragePooling2D(pool) => arguments.pool(2, pool),
            Layer::GlobalAveragePooling1D { keepdims }
            | Layer::GlobalAveragePooling2D { keepdims }
            | Layer::GlobalMaxPooling1D { keepdims }
            | Layer::GlobalMaxPooling2D { keepdims } => arguments.put("keepdims", *keepdims),
            Layer::Activation { activation } => arguments.put("activation", activation.as_str()),
            Layer::LeakyReLU { negative_slope } => arguments.put("negative_slope", *negative_slope),
            Layer::PReLU(prelu) => {
                arguments.weight("alpha", &prelu.alpha);
                arguments.put("shared_axes", prelu.shared_axes.as_slice());
            }
            Layer::Dropout { rate } | Layer::SpatialDropout2D { rate } => arguments.put("rate", *rate),
            Layer::GaussianNoise { stddev } => arguments.put("stddev", *stddev),
            Layer::BatchNormalization(normalization) => {
                arguments.put("momentum", normalization.momentum);
                arguments.affine(normalization.epsilon, normalization.center, normalization.scale);
                arguments.weight("beta", &normalization.beta);
                arguments.weight("gamma", &normalization.gamma);
                arguments.put("moving_mean_initializer", initializer(&normalization.moving_mean_initializer));
                arguments.put(
                    "moving_variance_initializer",
                    initializer(&normalization.moving_variance_initializer),
                );
            }
            Layer::LayerNormalization(normalization) => {
                arguments.affine(normalization.epsilon, normalization.center, normalization.scale);
                arguments.weight("beta", &normalization.beta);
                arguments.weight("gamma", &normalization.gamma);
            }
            Layer::Embedding(embedding) => {
                arguments.put("input_dim", embedding.input_dim);
                arguments.put("output_dim", embedding.output_dim);
                arguments.weight("embeddings", &embedding.embeddings);
            }
            Layer::SimpleRNN(recurrent) => arguments.recurrent(recurrent),
            Layer::LSTM(recurrent) => {
                arguments.recurrent(recurrent);
                arguments.put("recurrent_activation", recurrent.recurrent_activation.as_str());
                arguments.put("unit_forget_bias", recurrent.unit_forget_bias);
            }
            Layer::GRU(recurrent) => {
                arguments.recurrent(recurrent);
                arguments.put("recurrent_activation", recurrent.recurrent_activation.as_str());
                arguments.put("reset_after", recurrent.reset_after);
            }
            Layer::Bidirectional(bidirectional) => {
                arguments.put("wrapped", bidirectional.wrapped.to_document());
                arguments.put("merge_mode", bidirectional.merge_mode.as_str());
            }
        }
        Json::Object(arguments.0)
    }
}

/// The fields of one layer in a document.
#[derive(Default)]
struct Arguments(Map<String, Json>);

impl Arguments {
    fn put(&mut self, name: &str, value: impl Into<Json>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// All of the output's arguments except the bias.
    fn output(&mut self, output: &Output) {
        self.put("activation", output.activation.as_str());
        self.put("use_bias", output.use_bias);
        self.put("activity_regularizer", regularizer(&output.activity_regularizer));
    }

    fn weight(&mut self, name: &str, spec: &WeightSpec) {
        self.put(&format!("{name}_initializer"), initializer(&spec.initializer));
        self.put(&format!("{name}_regularizer"), regularizer(&spec.regularizer));
        self.put(&format!("{name}_constraint"), constraint(&spec.constraint));
    }

    fn window(
        &mut self,
        axes: usize,
        kernel_size: [usize; 2],
        strides: [usize; 2],
        dilation_rate: [usize; 2],
        padding: Padding,
    ) {
        self.put("kernel_size", &kernel_size[2 - axes..]);
        self.put("strides", &strides[2 - axes..]);
        self.put("padding", padding.as_str());
        self.put("dilation_rate", &dilation_rate[2 - axes..]);
    }

    fn conv(&mut self, axes: usize, conv: &Conv) {
        self.put("filters", conv.filters);
        self.window(axes, conv.kernel_size, conv.strides, conv.dilation_rate, conv.padding);
        self.put("groups", conv.groups);
        self.output(&conv.output);
        self.weight("kernel", &conv.kernel);
        self.weight("bias", &conv.output.bias);
    }

    fn pool(&mut self, axes: usize, pool: &Pool) {
        self.put("pool_size", &pool.pool_size[2 - axes..]);
        self.put("strides", &pool.strides[2 - axes..]);
        self.put("padding", pool.padding.as_str());
    }

    fn affine(&mut self, epsilon: f64, center: bool, scale: bool) {
        self.put("epsilon", epsilon);
        self.put("center", center);
        self.put("scale", scale);
    }

    fn recurrent(&mut self, recurrent: &Recurrent) {
        self.put("units", recurrent.units);
        self.output(&recurrent.output);
        self.weight("kernel", &recurrent.kernel);
        self.weight("recurrent", &recurrent.recurrent);
        self.weight("bias", &recurrent.output.bias);
        self.put("dropout", recurrent.dropout);
        self.put("return_sequences", recurrent.return_sequences);
        self.put("go_backwards", recurrent.go_backwards);
    }
}

/// A name if there are no arguments, otherwise an object with them.
fn initializer(initializer: &Initializer) -> Json {
    match initializer {
        Initializer::Zeros => json!("zeros"),
        Initializer::Ones => json!("ones"),
        Initializer::Constant { value } => json!({"name": "constant", "value": value}),
        Initializer::RandomNormal { mean, stddev } => {
            json!({"name": "random_normal", "mean": mean, "stddev": stddev})
        }
        Initializer::RandomUniform { minval, maxval } => {
            json!({"name": "random_uniform", "minval": minval, "maxval": maxval})
        }
        Initializer::TruncatedNormal { mean, stddev } => {
            json!({"name": "truncated_normal", "mean": mean, "stddev": stddev})
        }
        Initializer::VarianceScaling { scale, mode, distribution } => {
            json!({"name": "variance_scaling", "scale": scale, "mode": mode.as_str(), "distribution": distribution.as_str()})
        }
        Initializer::GlorotUniform => json!("glorot_uniform"),
        Initializer::GlorotNormal => json!("glorot_normal"),
        Initializer::HeUniform => json!("he_uniform"),
        Initializer::HeNormal => json!("he_normal"),
        Initializer::LecunUniform => json!("lecun_uniform"),
        Initializer::LecunNormal => json!("lecun_normal"),
        Initializer::Orthogonal { gain } => json!({"name": "orthogonal", "gain": gain}),
    }
}

fn regularizer(regularizer: &Option<Regularizer>) -> Json {
    regularizer
        .as_ref()
        .map_or(Json::Null, |Regularizer { l1, l2 }| json!({"name": "l1_l2", "l1": l1, "l2": l2}))
}

fn constraint(constraint: &Option<Constraint>) -> Json {
    match constraint {
        None => Json::Null,
        Some(Constraint::MaxNorm { max_value, axis }) => {
            json!({"name": "max_norm", "max_value": max_value, "axis": axis})
        }
        Some(Constraint::UnitNorm { axis }) => json!({"name": "unit_norm", "axis": axis}),
        Some(Constraint::NonNeg) => json!("non_neg"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::LAYERS;

    /// One layer of each class, with few arguments at their defaults.
    fn documents() -> Vec<Json> {
        let with = |mut document: Json, rest: &Json| {
            document.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            document
        };
        let penalties = json!({
            "kernel_initializer": {"name": "variance_scaling", "scale": 2, "mode": "fan_avg", "distribution": "uniform"},
            "kernel_regularizer": "l2", "kernel_constraint": {"name": "max_norm", "max_value": 3, "axis": [0]},
            "bias_initializer": {"name": "constant", "value": 0.1}, "bias_regularizer": {"name": "l1_l2", "l1": 0.1, "l2": 0.2},
            "bias_constraint": "non_neg", "activity_regularizer": "l1", "activation": "swish"
        });
        let depthwise = json!({"depthwise_initializer": {"name": "random_normal", "stddev": 0.1}, "depthwise_regularizer": "l1", "padding": "same"});
        let recurrent = json!({
            "units": 3, "activation": "relu", "recurrent_initializer": {"name": "orthogonal", "gain": 0.5}, "recurrent_regularizer": "l1",
            "recurrent_constraint": {"name": "unit_norm", "axis": 1}, "dropout": 0.25, "return_sequences": true, "go_backwards": true
        });
        vec![
            json!({"layer": "Flatten"}),
            json!({"layer": "Reshape", "target_shape": [8, -1, 1]}),
            json!({"layer": "Permute", "dims": [2, 1]}),
            json!({"layer": "Rescaling", "scale": 0.5, "offset": 1}),
            json!({"layer": "ZeroPadding2D", "padding": [[1, 2], [3, 4]]}),
            with(json!({"layer": "Dense", "units": 3, "use_bias": false}), &penalties),
            with(
                json!({"layer": "Conv1D", "filters": 4, "kernel_size": 3, "dilation_rate": 2, "groups": 2}),
                &penalties,
            ),
            with(
                json!({"layer": "Conv2D", "filters": 4, "kernel_size": [3, 2], "strides": 2, "padding": "same"}),
                &penalties,
            ),
            with(json!({"layer": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}), &depthwise),
            with(
                json!({"layer": "SeparableConv2D", "filters": 4, "kernel_size": 3, "pointwise_initializer": "he_normal"}),
                &depthwise,
            ),
            json!({"layer": "MaxPooling1D", "pool_size": 3, "strides": 1}),
            json!({"layer": "MaxPooling2D", "pool_size": [3, 2], "padding": "same"}),
            json!({"layer": "AveragePooling1D"}),
            json!({"layer": "AveragePooling2D", "strides": [1, 2]}),
            json!({"layer": "GlobalAveragePooling1D", "keepdims": true}),
            json!({"layer": "GlobalAveragePooling2D"}),
            json!({"layer": "GlobalMaxPooling1D"}),
            json!({"layer": "GlobalMaxPooling2D", "keepdims": true}),
            json!({"layer": "Activation", "activation": "gelu"}),
            json!({"layer": "LeakyReLU", "negative_slope": 0.1}),
            json!({"layer": "PReLU", "shared_axes": [1, 2], "alpha_initializer": {"name": "random_uniform", "minval": 0, "maxval": 0.25}}),
            json!({"layer": "Dropout", "rate": 0.25}),
            json!({"layer": "SpatialDropout2D", "rate": 0.25}),
            json!({"layer": "GaussianNoise", "stddev": 0.25}),
            json!({"layer": "BatchNormalization", "momentum": 0.9, "epsilon": 0.01, "scale": false, "moving_mean_initializer": "ones"}),
            json!({"layer": "LayerNormalization", "epsilon": 0.01, "center": false, "gamma_initializer": {"name": "truncated_normal", "mean": 1}}),
            json!({"layer": "Embedding", "input_dim": 10, "output_dim": 3}),
            with(json!({"layer": "SimpleRNN"}), &recurrent),
            with(
                json!({"layer": "LSTM", "recurrent_activation": "hard_sigmoid", "unit_forget_bias": false}),
                &recurrent,
            ),
            with(json!({"layer": "GRU", "reset_after": false}), &recurrent),
            json!({"layer": "Bidirectional", "wrapped": {"layer": "LSTM", "units": 3}, "merge_mode": "ave"}),
        ]
    }

    #[test]
    fn a_layer_of_every_class_reads_back_from_its_document() {
        let layers: Vec<Layer> =
            documents().iter().map(|document| Layer::from_document(document).unwrap()).collect();
        let classes: Vec<&str> = layers.iter().map(Layer::class).collect();
        assert_eq!(
            classes,
            LAYERS.iter().map(|(class, _)| *class).collect::<Vec<_>>(),
            "every class is listed once"
        );
        for layer in layers {
            assert_eq!(Layer::from_document(&layer.to_document()), Ok(layer));
        }
    }

    #[test]
    fn a_document_with_a_hyperparameter_is_no_concrete_layer() {
        let problems =
            Layer::from_document(&json!({"layer": "Dense", "units": {"hp": "units"}})).unwrap_err();
        assert_eq!(problems[0].pointer, "/units/hp");
        assert!(Layer::from_document(&json!({"layer": "Dense", "units": 0})).is_err());
        assert!(Layer::from_document(&json!(7)).is_err());
    }
}
