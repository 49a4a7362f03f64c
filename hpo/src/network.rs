//! The declared network: layers as data, under Keras's class and argument names with Keras's
//! defaults.
//!
//! Each family of layers has a file; [`weight`] lists the weights of a layer, and [`flat`] makes a
//! flat list of the layers of a document.

mod activation;
mod convolution;
mod dense;
mod document;
mod flat;
mod initializer;
mod normalization;
mod output;
mod penalty;
mod pointwise;
mod pooling;
mod recurrent;
mod reshaping;
mod sizes;
mod weight;

pub use activation::{Activation, Range};
pub use convolution::{Conv, DepthwiseConv2D, SeparableConv2D};
pub use dense::{Dense, Embedding};
pub use flat::{FlatLayer, Network};
#[cfg(feature = "openapi")]
pub(crate) use initializer::INITIALIZERS;
pub use initializer::{Distribution, FanMode, Initializer};
pub use normalization::{BatchNormalization, LayerNormalization};
pub use output::Output;
#[cfg(feature = "openapi")]
pub(crate) use penalty::{CONSTRAINTS, REGULARIZERS};
pub use penalty::{Constraint, Regularizer};
pub use pointwise::PReLU;
pub use pooling::Pool;
pub use recurrent::{Bidirectional, MergeMode, Recurrent};
pub use weight::{LayerWeight, WeightSpec};

use crate::document::{Fields, FromDocument, Place, Reader, did_you_mean, names, pick};
use recurrent::Cell;

/// One layer with every argument known.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Joins all dimensions of a row into one.
    Flatten,
    /// Gives a row another shape; one dimension may be -1.
    Reshape {
        /// The new shape of a row.
        target_shape: Vec<i64>,
    },
    /// Puts the dimensions of a row in another order.
    Permute {
        /// The dimensions of the input in their new order, counted from 1.
        dims: Vec<usize>,
    },
    /// `x * scale + offset`.
    Rescaling {
        /// The factor.
        scale: f64,
        /// The number that is added.
        offset: f64,
    },
    /// Zeros around (height, width, channels).
    ZeroPadding2D {
        /// How many zeros above and below, left and right.
        padding: [[usize; 2]; 2],
    },
    /// A product with a kernel over the last dimension.
    Dense(Dense),
    /// A convolution over (steps, channels).
    Conv1D(Conv),
    /// A convolution over (height, width, channels).
    Conv2D(Conv),
    /// A convolution of each channel on its own.
    DepthwiseConv2D(DepthwiseConv2D),
    /// A convolution of each channel on its own, then a product over the channels.
    SeparableConv2D(SeparableConv2D),
    /// The largest value of each window over (steps, channels).
    MaxPooling1D(Pool),
    /// The largest value of each window over (height, width, channels).
    MaxPooling2D(Pool),
    /// The mean of each window over (steps, channels).
    AveragePooling1D(Pool),
    /// The mean of each window over (height, width, channels).
    AveragePooling2D(Pool),
    /// The mean over all steps.
    GlobalAveragePooling1D {
        /// Whether the dimensions stay, with size 1.
        keepdims: bool,
    },
    /// The mean over all places.
    GlobalAveragePooling2D {
        /// Whether the dimensions stay, with size 1.
        keepdims: bool,
    },
    /// The largest value over all steps.
    GlobalMaxPooling1D {
        /// Whether the dimensions stay, with size 1.
        keepdims: bool,
    },
    /// The largest value over all places.
    GlobalMaxPooling2D {
        /// Whether the dimensions stay, with size 1.
        keepdims: bool,
    },
    /// An activation on its own.
    Activation {
        /// The function.
        activation: Activation,
    },
    /// `x` above 0, `negative_slope x` below.
    LeakyReLU {
        /// The slope below 0.
        negative_slope: f64,
    },
    /// `x` above 0, `alpha x` below, with alpha learned.
    PReLU(PReLU),
    /// Sets a fraction of the inputs to zero in training, and scales the rest up.
    Dropout {
        /// The fraction, in [0, 1).
        rate: f64,
    },
    /// Sets a fraction of the channels to zero in training, and scales the rest up.
    SpatialDropout2D {
        /// The fraction, in [0, 1).
        rate: f64,
    },
    /// Adds normal noise in training.
    GaussianNoise {
        /// Its standard deviation.
        stddev: f64,
    },
    /// Normalises over the batch and all places in training, with moving mean and variance
    /// otherwise.
    BatchNormalization(BatchNormalization),
    /// Normalises over the last dimension of each row.
    LayerNormalization(LayerNormalization),
    /// Replaces each integer by its row of a table.
    Embedding(Embedding),
    /// `h = activation(x W + h U + b)` over the steps.
    SimpleRNN(Recurrent),
    /// Long short-term memory (Hochreiter and Schmidhuber 1997).
    LSTM(Recurrent),
    /// Gated recurrent unit (Cho et al. 2014).
    GRU(Recurrent),
    /// A recurrent layer in both directions.
    Bidirectional(Bidirectional),
}

names! {
    /// What happens at the edges of a window operation.
    pub enum Padding {
        /// Windows lie inside the input.
        Valid = "valid",
        /// The output has ceil(input / stride) places, as with Keras on TensorFlow: an odd number
        /// of zeros has one more at the end.
        Same = "same",
    }
    later ["causal"]
}

/// The supported layers: Keras's class name and the reader of its arguments.
pub(crate) const LAYERS: &[(&str, Reader<Layer>)] = &[
    ("Flatten", |_| Some(Layer::Flatten)),
    ("Reshape", |fields| reshaping::target_shape(fields).map(|target_shape| Layer::Reshape { target_shape })),
    ("Permute", |fields| reshaping::dims(fields).map(|dims| Layer::Permute { dims })),
    ("Rescaling", pointwise::rescaling),
    ("ZeroPadding2D", |fields| {
        reshaping::zero_padding(fields).map(|padding| Layer::ZeroPadding2D { padding })
    }),
    ("Dense", |fields| Dense::read(fields).map(Layer::Dense)),
    ("Conv1D", |fields| Conv::read::<1>(fields).map(Layer::Conv1D)),
    ("Conv2D", |fields| Conv::read::<2>(fields).map(Layer::Conv2D)),
    ("DepthwiseConv2D", |fields| DepthwiseConv2D::read(fields).map(Layer::DepthwiseConv2D)),
    ("SeparableConv2D", |fields| SeparableConv2D::read(fields).map(Layer::SeparableConv2D)),
    ("MaxPooling1D", |fields| Pool::read::<1>(fields).map(Layer::MaxPooling1D)),
    ("MaxPooling2D", |fields| Pool::read::<2>(fields).map(Layer::MaxPooling2D)),
    ("AveragePooling1D", |fields| Pool::read::<1>(fields).map(Layer::AveragePooling1D)),
    ("AveragePooling2D", |fields| Pool::read::<2>(fields).map(Layer::AveragePooling2D)),
    ("GlobalAveragePooling1D", |fields| {
        keepdims(fields).map(|keepdims| Layer::GlobalAveragePooling1D { keepdims })
    }),
    ("GlobalAveragePooling2D", |fields| {
        keepdims(fields).map(|keepdims| Layer::GlobalAveragePooling2D { keepdims })
    }),
    ("GlobalMaxPooling1D", |fields| keepdims(fields).map(|keepdims| Layer::GlobalMaxPooling1D { keepdims })),
    ("GlobalMaxPooling2D", |fields| keepdims(fields).map(|keepdims| Layer::GlobalMaxPooling2D { keepdims })),
    ("Activation", |fields| {
        fields.required("activation")?.read().map(|activation| Layer::Activation { activation })
    }),
    ("LeakyReLU", pointwise::leaky_relu),
    ("PReLU", |fields| PReLU::read(fields).map(Layer::PReLU)),
    ("Dropout", |fields| pointwise::rate(fields).map(|rate| Layer::Dropout { rate })),
    ("SpatialDropout2D", |fields| pointwise::rate(fields).map(|rate| Layer::SpatialDropout2D { rate })),
    ("GaussianNoise", pointwise::gaussian_noise),
    ("BatchNormalization", |fields| BatchNormalization::read(fields).map(Layer::BatchNormalization)),
    ("LayerNormalization", |fields| LayerNormalization::read(fields).map(Layer::LayerNormalization)),
    ("Embedding", |fields| Embedding::read(fields).map(Layer::Embedding)),
    RECURRENT[0],
    RECURRENT[1],
    RECURRENT[2],
    ("Bidirectional", |fields| Bidirectional::read(fields).map(Layer::Bidirectional)),
];

/// The layers of [`LAYERS`] that can be inside a `Bidirectional`.
pub(crate) const RECURRENT: &[(&str, Reader<Layer>)] = &[
    ("SimpleRNN", |fields| Recurrent::read(Cell::Simple, fields).map(Layer::SimpleRNN)),
    ("LSTM", |fields| Recurrent::read(Cell::Lstm, fields).map(Layer::LSTM)),
    ("GRU", |fields| Recurrent::read(Cell::Gru, fields).map(Layer::GRU)),
];

/// The layers of Keras that are not supported yet.
const LATER: &[&str] = &[
    "Conv3D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "DepthwiseConv1D",
    "SeparableConv1D",
    "MaxPooling3D",
    "AveragePooling3D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling3D",
    "ReLU",
    "ELU",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout3D",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "GroupNormalization",
    "RMSNormalization",
    "UnitNormalization",
    "SpectralNormalization",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "TimeDistributed",
    "ZeroPadding1D",
    "ZeroPadding3D",
    "Cropping1D",
    "Cropping2D",
    "UpSampling1D",
    "UpSampling2D",
    "RepeatVector",
    "Masking",
    "Attention",
    "AdditiveAttention",
    "MultiHeadAttention",
    "GroupQueryAttention",
    "EinsumDense",
    "Identity",
    "Normalization",
    "Discretization",
    "CategoryEncoding",
    "Resizing",
    "Input",
    "InputLayer",
];

/// Arguments of Keras's layers that are not supported yet.
const LATER_ARGUMENTS: &[&str] = &[
    "name",
    "dtype",
    "trainable",
    "noise_shape",
    "seed",
    "lora_rank",
    "weights",
    "backward_layer",
    "use_cudnn",
    "renorm",
    "synchronized",
];

/// The layers that have a `data_format` in Keras.
pub(crate) const LAID_OUT: &[&str] = &[
    "Flatten",
    "ZeroPadding2D",
    "Conv1D",
    "Conv2D",
    "DepthwiseConv2D",
    "SeparableConv2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "AveragePooling1D",
    "AveragePooling2D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "SpatialDropout2D",
];

impl Layer {
    /// Keras's class name.
    pub fn class(&self) -> &'static str {
        match self {
            Layer::Flatten => "Flatten",
            Layer::Reshape { .. } => "Reshape",
            Layer::Permute { .. } => "Permute",
            Layer::Rescaling { .. } => "Rescaling",
            Layer::ZeroPadding2D { .. } => "ZeroPadding2D",
            Layer::Dense(_) => "Dense",
            Layer::Conv1D(_) => "Conv1D",
            Layer::Conv2D(_) => "Conv2D",
            Layer::DepthwiseConv2D(_) => "DepthwiseConv2D",
            Layer::SeparableConv2D(_) => "SeparableConv2D",
            Layer::MaxPooling1D(_) => "MaxPooling1D",
            Layer::MaxPooling2D(_) => "MaxPooling2D",
            Layer::AveragePooling1D(_) => "AveragePooling1D",
            Layer::AveragePooling2D(_) => "AveragePooling2D",
            Layer::GlobalAveragePooling1D { .. } => "GlobalAveragePooling1D",
            Layer::GlobalAveragePooling2D { .. } => "GlobalAveragePooling2D",
            Layer::GlobalMaxPooling1D { .. } => "GlobalMaxPooling1D",
            Layer::GlobalMaxPooling2D { .. } => "GlobalMaxPooling2D",
            Layer::Activation { .. } => "Activation",
            Layer::LeakyReLU { .. } => "LeakyReLU",
            Layer::PReLU(_) => "PReLU",
            Layer::Dropout { .. } => "Dropout",
            Layer::SpatialDropout2D { .. } => "SpatialDropout2D",
            Layer::GaussianNoise { .. } => "GaussianNoise",
            Layer::BatchNormalization(_) => "BatchNormalization",
            Layer::LayerNormalization(_) => "LayerNormalization",
            Layer::Embedding(_) => "Embedding",
            Layer::SimpleRNN(_) => "SimpleRNN",
            Layer::LSTM(_) => "LSTM",
            Layer::GRU(_) => "GRU",
            Layer::Bidirectional(_) => "Bidirectional",
        }
    }

    /// Whether this argument decides the shape or size of the layer, or whether it fits.
    fn is_structural(&self, argument: &str) -> bool {
        const NOT_STRUCTURAL: &[&str] = &[
            "activation",
            "recurrent_activation",
            "rate",
            "stddev",
            "dropout",
            "offset",
            "negative_slope",
            "momentum",
            "epsilon",
            "unit_forget_bias",
            "go_backwards",
        ];
        let of_numbers =
            ["_initializer", "_regularizer", "_constraint"].iter().any(|end| argument.ends_with(end));
        // In a Rescaling `scale` is a factor; in a normalisation it decides whether there is a
        // weight.
        let factor = argument == "scale" && matches!(self, Layer::Rescaling { .. });
        !(of_numbers || factor || NOT_STRUCTURAL.contains(&argument))
    }
}

impl FromDocument for Layer {
    fn from_place(place: &Place) -> Option<Layer> {
        let mut fields = place.fields()?;
        fields.get("when"); // Read when the flat list of layers is made.
        read_layer(fields, LAYERS)
    }
}

/// The layer of `table` whose class is the field `layer`, with its other fields as arguments.
fn read_layer(mut fields: Fields, table: &[(&'static str, Reader<Layer>)]) -> Option<Layer> {
    let class_place = fields.required("layer")?;
    let class = class_place.fixed::<String>()?;
    let Some(read) = pick(table, &class) else {
        let known = || table.iter().map(|(class, _)| *class);
        let all = known().collect::<Vec<_>>().join(", ");
        if LATER.contains(&class.as_str()) {
            class_place.not_supported(format!("the layer {class} is not supported yet; supported: {all}"));
        } else {
            let near = did_you_mean(&class, known().chain(LATER.iter().copied()));
            class_place.invalid(format!("unknown layer{near}; known layers: {all}"));
        }
        return None;
    };
    let layer = read(&mut fields);
    if LAID_OUT.contains(&class.as_str()) {
        fields.only("data_format", "channels_last".into());
    }
    fields.finish(LATER_ARGUMENTS);
    layer
}

fn keepdims(fields: &mut Fields) -> Option<bool> {
    fields.or("keepdims", false)
}
