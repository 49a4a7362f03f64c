//! The declared network: layers as data, under Keras's class and argument names with Keras's defaults.

mod flat;

pub use flat::{FlatLayer, Network};

use crate::document::{Fields, FromDocument, Place, bounded, did_you_mean, names, within};
use crate::limits;

/// One layer with every argument known.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// All dimensions of a row become one.
    Flatten,
    /// A row takes this shape; one dimension may be -1.
    Reshape {
        /// The new shape of a row.
        target_shape: Vec<i64>,
    },
    /// `x * scale + offset`.
    Rescaling {
        /// The factor.
        scale: f64,
        /// What is added.
        offset: f64,
    },
    /// A product with a kernel over the last dimension.
    Dense(Dense),
    /// An activation on its own.
    Activation {
        /// The function.
        activation: Activation,
    },
    /// Sets a fraction of the inputs to zero in training, and scales the rest up.
    Dropout {
        /// The fraction, in [0, 1).
        rate: f64,
    },
    /// A convolution over (height, width, channels).
    Conv2D(Conv2D),
    /// The largest value of each window over (height, width, channels).
    MaxPooling2D(MaxPooling2D),
}

/// [`Layer::Dense`]. Kernel `(inputs, units)`, bias `(units)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Size of the output's last dimension.
    pub units: usize,
    /// Applied to the output.
    pub activation: Activation,
    /// Whether there is a bias.
    pub use_bias: bool,
    /// How the kernel starts.
    pub kernel_initializer: Initializer,
    /// How the bias starts.
    pub bias_initializer: Initializer,
}

/// [`Layer::Conv2D`]. Kernel `(kernel height, kernel width, channels, filters)`, bias `(filters)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2D {
    /// Channels of the output.
    pub filters: usize,
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Steps of the window.
    pub strides: [usize; 2],
    /// What happens at the edges.
    pub padding: Padding,
    /// Applied to the output.
    pub activation: Activation,
    /// Whether there is a bias.
    pub use_bias: bool,
    /// How the kernel starts.
    pub kernel_initializer: Initializer,
    /// How the bias starts.
    pub bias_initializer: Initializer,
}

/// [`Layer::MaxPooling2D`].
#[derive(Debug, Clone, PartialEq)]
pub struct MaxPooling2D {
    /// Height and width of the window.
    pub pool_size: [usize; 2],
    /// Steps of the window; `pool_size` where not given.
    pub strides: [usize; 2],
    /// What happens at the edges.
    pub padding: Padding,
}

names! {
    /// What happens at the edges of a window operation.
    pub enum Padding {
        /// Windows lie inside.
        Valid = "valid",
        /// The output has ceil(input / stride) places, as with Keras on TensorFlow: the odd one is added at the end.
        Same = "same",
    }
    later []
}

names! {
    /// An activation function.
    pub enum Activation {
        /// `x`.
        Linear = "linear",
        /// `max(x, 0)`.
        Relu = "relu",
        /// `x` above 0, `0.2 x` below: the slope of Keras's `leaky_relu`.
        LeakyRelu = "leaky_relu",
        /// `1 / (1 + exp(-x))`.
        Sigmoid = "sigmoid",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// `exp(x) / sum(exp(x))` over the last dimension.
        Softmax = "softmax",
    }
    later ["relu6", "elu", "selu", "gelu", "silu", "swish", "softplus", "softsign", "hard_sigmoid", "log_softmax", "exponential", "mish", "hard_silu", "celu", "glu"]
}

names! {
    /// How a weight starts (<https://keras.io/api/layers/initializers/>).
    pub enum Initializer {
        /// All 0.
        Zeros = "zeros",
        /// All 1.
        Ones = "ones",
        /// Uniform within `sqrt(6 / (fan_in + fan_out))`.
        GlorotUniform = "glorot_uniform",
        /// Normal with variance `2 / (fan_in + fan_out)`, truncated at two standard deviations.
        GlorotNormal = "glorot_normal",
        /// Uniform within `sqrt(6 / fan_in)`.
        HeUniform = "he_uniform",
        /// Normal with variance `2 / fan_in`, truncated at two standard deviations.
        HeNormal = "he_normal",
        /// Uniform within `sqrt(3 / fan_in)`.
        LecunUniform = "lecun_uniform",
        /// Normal with variance `1 / fan_in`, truncated at two standard deviations.
        LecunNormal = "lecun_normal",
    }
    later ["constant", "random_normal", "random_uniform", "truncated_normal", "variance_scaling", "orthogonal", "identity"]
}

/// The layers of Keras that this version does not build yet.
const LATER: &[&str] = &[
    "Conv1D",
    "Conv3D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "DepthwiseConv2D",
    "SeparableConv2D",
    "MaxPooling1D",
    "AveragePooling1D",
    "AveragePooling2D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "Permute",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "ELU",
    "Softmax",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "BatchNormalization",
    "LayerNormalization",
    "Embedding",
    "SimpleRNN",
    "LSTM",
    "GRU",
    "Bidirectional",
    "ZeroPadding2D",
    "Cropping2D",
    "UpSampling2D",
    "RepeatVector",
    "TimeDistributed",
    "MultiHeadAttention",
    "Normalization",
    "Input",
    "InputLayer",
];

/// The layers that are built.
const KNOWN: &[&str] = &["Flatten", "Reshape", "Rescaling", "Dense", "Activation", "Dropout", "Conv2D", "MaxPooling2D"];

/// Arguments of Keras's layers that are not acted on yet.
const LATER_ARGUMENTS: &[&str] = &[
    "name",
    "dtype",
    "trainable",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
    "dilation_rate",
    "groups",
    "data_format",
    "noise_shape",
    "seed",
    "lora_rank",
];

/// Arguments that change neither a shape nor a size.
pub(crate) const NOT_STRUCTURAL: &[&str] = &["activation", "kernel_initializer", "bias_initializer", "rate", "scale", "offset"];

bounded! {
    /// A size: units, filters, a window.
    Size(i64), 1, limits::LAYER_SIZE_MAX
}
bounded! {
    /// The fraction that dropout drops. At 1 nothing would be left to scale.
    Rate(f64), 0.0, limits::DROPOUT_RATE_MAX
}

impl Layer {
    /// Keras's class name.
    pub fn class(&self) -> &'static str {
        match self {
            Layer::Flatten => "Flatten",
            Layer::Reshape { .. } => "Reshape",
            Layer::Rescaling { .. } => "Rescaling",
            Layer::Dense(_) => "Dense",
            Layer::Activation { .. } => "Activation",
            Layer::Dropout { .. } => "Dropout",
            Layer::Conv2D(_) => "Conv2D",
            Layer::MaxPooling2D(_) => "MaxPooling2D",
        }
    }
}

impl FromDocument for Layer {
    fn from_place(place: &Place) -> Option<Layer> {
        let mut fields = place.fields()?;
        let class_place = fields.required("layer")?;
        let class = class_place.fixed::<String>()?;
        fields.get("when"); // Read where layers are put in a row.
        let layer = match class.as_str() {
            "Flatten" => Some(Layer::Flatten),
            "Reshape" => {
                fields.required("target_shape").and_then(|place| target_shape(&place)).map(|target_shape| Layer::Reshape { target_shape })
            }
            "Rescaling" => rescaling(&mut fields),
            "Dense" => dense(&mut fields),
            "Activation" => fields.required("activation").and_then(|place| place.read()).map(|activation| Layer::Activation { activation }),
            "Dropout" => fields.required("rate").and_then(|place| place.read::<Rate>()).map(|rate| Layer::Dropout { rate: rate.0 }),
            "Conv2D" => conv2d(&mut fields),
            "MaxPooling2D" => max_pooling2d(&mut fields),
            later if LATER.contains(&later) => {
                class_place.not_supported(format!("the layer {later} is not supported yet; supported are {}", KNOWN.join(", ")));
                return None;
            }
            unknown => {
                let near = did_you_mean(unknown, KNOWN.iter().chain(LATER).copied());
                class_place.invalid(format!("unknown layer{near}; known are {}", KNOWN.join(", ")));
                return None;
            }
        };
        fields.finish(LATER_ARGUMENTS);
        layer
    }
}

fn rescaling(fields: &mut Fields) -> Option<Layer> {
    let scale = fields.required("scale").and_then(|place| place.read());
    let offset = fields.or("offset", 0.0);
    Some(Layer::Rescaling { scale: scale?, offset: offset? })
}

fn dense(fields: &mut Fields) -> Option<Layer> {
    let units = fields.required("units").and_then(|place| place.read::<Size>());
    let affine = affine(fields);
    let Affine { activation, use_bias, kernel_initializer, bias_initializer } = affine?;
    Some(Layer::Dense(Dense { units: units?.0 as usize, activation, use_bias, kernel_initializer, bias_initializer }))
}

fn conv2d(fields: &mut Fields) -> Option<Layer> {
    let filters = fields.required("filters").and_then(|place| place.read::<Size>());
    let kernel_size = fields.required("kernel_size").and_then(|place| place.read::<Pair>());
    let strides = fields.or("strides", Pair([1, 1]));
    let padding = fields.or("padding", Padding::Valid);
    let affine = affine(fields);
    let Affine { activation, use_bias, kernel_initializer, bias_initializer } = affine?;
    Some(Layer::Conv2D(Conv2D {
        filters: filters?.0 as usize,
        kernel_size: kernel_size?.0,
        strides: strides?.0,
        padding: padding?,
        activation,
        use_bias,
        kernel_initializer,
        bias_initializer,
    }))
}

/// What every layer with a kernel has.
struct Affine {
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
}

fn affine(fields: &mut Fields) -> Option<Affine> {
    let activation = fields.or::<Option<Activation>>("activation", None);
    let use_bias = fields.or("use_bias", true);
    let kernel_initializer = fields.or("kernel_initializer", Initializer::GlorotUniform);
    let bias_initializer = fields.or("bias_initializer", Initializer::Zeros);
    let activation = activation?.unwrap_or(Activation::Linear);
    Some(Affine { activation, use_bias: use_bias?, kernel_initializer: kernel_initializer?, bias_initializer: bias_initializer? })
}

fn max_pooling2d(fields: &mut Fields) -> Option<Layer> {
    let pool_size = fields.or("pool_size", Pair([2, 2]));
    let strides = fields.or::<Option<Pair>>("strides", None);
    let padding = fields.or("padding", Padding::Valid);
    let pool_size = pool_size?.0;
    Some(Layer::MaxPooling2D(MaxPooling2D { pool_size, strides: strides?.map_or(pool_size, |strides| strides.0), padding: padding? }))
}

/// A height and a width: one number for both, or an array of two.
struct Pair([usize; 2]);

impl FromDocument for Pair {
    fn from_place(place: &Place) -> Option<Pair> {
        if place.json().is_array() {
            let sizes: Vec<Option<Size>> = place.items(2)?.iter().map(Place::read::<Size>).collect();
            let [height, width] = sizes[..] else {
                place.invalid("must be a number, or an array of two: height and width");
                return None;
            };
            return Some(Pair([height?.0 as usize, width?.0 as usize]));
        }
        Size::from_place(place).map(|size| Pair([size.0 as usize; 2]))
    }
}

fn target_shape(place: &Place) -> Option<Vec<i64>> {
    let read = |item: &Place| item.read::<Dimension>().map(|dimension| dimension.0);
    let shape: Vec<i64> = place.items(limits::RANK_MAX)?.iter().map(read).collect::<Option<_>>()?;
    if shape.is_empty() || shape.iter().filter(|size| **size == -1).count() > 1 {
        place.invalid("needs one dimension or more, and at most one of -1");
        return None;
    }
    Some(shape)
}

/// A dimension of `target_shape`: a size, or -1 for what is left.
struct Dimension(i64);

impl FromDocument for Dimension {
    fn from_place(place: &Place) -> Option<Dimension> {
        let size = within::<i64>(place, (-1, limits::LAYER_SIZE_MAX))?;
        if size == 0 {
            place.invalid("must be -1 or at least 1");
            return None;
        }
        Some(Dimension(size))
    }
}
