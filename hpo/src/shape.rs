//! Shape inference and cost of a layer: the shape of its output, the number of its weights, what it
//! computes and keeps.

mod cost;

pub(crate) use cost::cost_where;
pub use cost::{Cost, cost};

use crate::limits;
use crate::network::{
    Activation, Bidirectional, Conv, Initializer, Layer, MergeMode, PReLU, Padding, Recurrent,
};

/// Why a layer cannot work on a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Misfit {
    /// The argument at fault: a pointer below the layer, or empty for the layer itself.
    pub(crate) argument: String,
    /// The reason, for a message.
    pub(crate) reason: String,
}

impl From<String> for Misfit {
    fn from(reason: String) -> Misfit {
        Misfit { argument: String::new(), reason }
    }
}

/// The shape that `layer` makes from a row of shape `input`. Errors: why it cannot, for a message.
pub fn output_shape(layer: &Layer, input: &[usize]) -> Result<Vec<usize>, String> {
    fitted(layer, input).map_err(|misfit| misfit.reason)
}

/// [`output_shape`], with the argument at fault.
pub(crate) fn fitted(layer: &Layer, input: &[usize]) -> Result<Vec<usize>, Misfit> {
    let (class, output) = (layer.class(), unbounded(layer, input)?);
    if elements(&output)? > limits::ROW_ELEMENTS_MAX {
        return Err(format!(
            "{class} turns a row into {}, which is more than {} numbers",
            show(&output),
            limits::ROW_ELEMENTS_MAX
        )
        .into());
    }
    if let Some((argument, reason)) = constant(layer, &output) {
        return Err(Misfit { argument, reason });
    }
    for weight in layer.weights(input) {
        let (name, rank, shape) = (&weight.name, weight.shape.len(), show(&weight.shape));
        let misfit = |of: &str, reason: String| Misfit { argument: argument(name, of), reason };
        if weight.constraint.is_some_and(|constraint| constraint.axis().iter().any(|axis| *axis >= rank)) {
            return Err(misfit(
                "constraint",
                format!("{class} constrains a dimension that its {name} {shape} does not have"),
            ));
        }
        if matches!(weight.initializer, Initializer::Orthogonal { .. }) && rank < 2 {
            let reason = format!(
                "{class} has an orthogonal initializer for its {name} {shape}, which needs two dimensions or more; use another initializer"
            );
            return Err(misfit("initializer", reason));
        }
    }
    Ok(output)
}

/// The argument that makes the output or the gates of a layer constant, and why: a function over a
/// last dimension of one number has only one possible result.
fn constant(layer: &Layer, output: &[usize]) -> Option<(String, String)> {
    let softmax = |argument: &str, activation: Activation, size: usize| {
        let always = match activation {
            Activation::Softmax => 1,
            Activation::LogSoftmax => 0,
            Activation::Linear
            | Activation::Relu
            | Activation::LeakyRelu
            | Activation::Relu6
            | Activation::Elu
            | Activation::Selu
            | Activation::Gelu
            | Activation::Silu
            | Activation::Softplus
            | Activation::Softsign
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::Tanh
            | Activation::Exponential => return None,
        };
        let (class, name) = (layer.class(), activation.as_str());
        let reason = format!(
            "{class} computes the {name} of one number, which is always {always}; use sigmoid, or more than one unit"
        );
        (size == 1).then(|| (format!("/{argument}"), reason))
    };
    let last = output.last().copied().unwrap_or(1);
    match layer {
        Layer::Activation { activation } => softmax("activation", *activation, last),
        Layer::LSTM(recurrent) | Layer::GRU(recurrent) => {
            softmax("activation", recurrent.output.activation, last)
                .or_else(|| softmax("recurrent_activation", recurrent.recurrent_activation, last))
        }
        Layer::Bidirectional(Bidirectional { wrapped, .. }) => {
            let one = if let Layer::SimpleRNN(of) | Layer::LSTM(of) | Layer::GRU(of) = &**wrapped {
                of.units
            } else {
                last
            };
            constant(wrapped, &[one]).map(|(argument, reason)| (format!("/wrapped{argument}"), reason))
        }
        Layer::LayerNormalization(_) if last == 1 => {
            let reason = "LayerNormalization normalises over the last dimension, which has one number here, so the output is always beta";
            Some((String::new(), reason.to_owned()))
        }
        _ => layer.output().and_then(|output| softmax("activation", output.activation, last)),
    }
}

/// A pointer to the argument of a layer that is the `constraint` or `initializer` of this weight.
fn argument(weight: &str, of: &str) -> String {
    // The arguments of a Bidirectional are in the layer that it wraps.
    match weight.split_once('.') {
        Some((_, weight)) => format!("/wrapped/{weight}_{of}"),
        None => format!("/{weight}_{of}"),
    }
}

/// [`output_shape`] without a limit on its size.
pub(crate) fn unbounded(layer: &Layer, input: &[usize]) -> Result<Vec<usize>, String> {
    let class = layer.class();
    match layer {
        Layer::Flatten => Ok(vec![elements(input)? as usize]),
        Layer::Reshape { target_shape } => reshaped(target_shape, input),
        Layer::Permute { dims } if dims.len() == input.len() => {
            Ok(dims.iter().map(|axis| input[axis - 1]).collect())
        }
        Layer::Permute { dims } => {
            Err(format!("Permute names {} dimensions, but its input is {}", dims.len(), show(input)))
        }
        Layer::ZeroPadding2D { padding: [rows, columns] } => {
            let [height, width, channels] = image(class, input)?;
            let wider = |size: usize, edges: &[usize; 2]| {
                edges.iter().fold(size, |size, zeros| size.saturating_add(*zeros))
            };
            Ok(vec![wider(height, rows), wider(width, columns), channels])
        }
        Layer::Rescaling { .. }
        | Layer::Activation { .. }
        | Layer::LeakyReLU { .. }
        | Layer::Dropout { .. }
        | Layer::GaussianNoise { .. } => Ok(input.to_vec()),
        Layer::PReLU(PReLU { shared_axes, .. }) => match shared_axes.iter().find(|axis| **axis > input.len())
        {
            None => Ok(input.to_vec()),
            Some(axis) => Err(format!("PReLU shares dimension {axis}, but its input is {}", show(input))),
        },
        Layer::SpatialDropout2D { .. } => image(class, input).map(|shape| shape.to_vec()),
        Layer::BatchNormalization(_) | Layer::LayerNormalization(_) => {
            leading(class, input).map(|_| input.to_vec())
        }
        Layer::Dense(dense) => Ok([leading(class, input)?, &[dense.units]].concat()),
        Layer::Embedding(embedding) => Ok([input, &[embedding.output_dim]].concat()),
        Layer::Conv1D(_) | Layer::MaxPooling1D(_) | Layer::AveragePooling1D(_) => {
            let [steps, channels] = sequence(class, input)?;
            let [_, steps] = places(layer, [1, steps])?;
            Ok(vec![steps, grouped(layer, channels)?])
        }
        Layer::Conv2D(_)
        | Layer::DepthwiseConv2D(_)
        | Layer::SeparableConv2D(_)
        | Layer::MaxPooling2D(_)
        | Layer::AveragePooling2D(_) => {
            let [height, width, channels] = image(class, input)?;
            let [height, width] = places(layer, [height, width])?;
            Ok(vec![height, width, grouped(layer, channels)?])
        }
        Layer::GlobalAveragePooling1D { keepdims } | Layer::GlobalMaxPooling1D { keepdims } => {
            let [_, channels] = sequence(class, input)?;
            Ok(if *keepdims { vec![1, channels] } else { vec![channels] })
        }
        Layer::GlobalAveragePooling2D { keepdims } | Layer::GlobalMaxPooling2D { keepdims } => {
            let [_, _, channels] = image(class, input)?;
            Ok(if *keepdims { vec![1, 1, channels] } else { vec![channels] })
        }
        Layer::SimpleRNN(recurrent) | Layer::LSTM(recurrent) | Layer::GRU(recurrent) => {
            let Recurrent { units, return_sequences, .. } = recurrent;
            let [steps, _] = sequence(class, input)?;
            Ok(if *return_sequences { vec![steps, *units] } else { vec![*units] })
        }
        Layer::Bidirectional(Bidirectional { wrapped, merge_mode }) => {
            let mut output = unbounded(wrapped, input)?;
            if let (MergeMode::Concat, Some(last)) = (merge_mode, output.last_mut()) {
                *last *= 2;
            }
            Ok(output)
        }
    }
}

/// The windows of a layer over [height, width]; the height is 1 over steps.
pub(crate) struct Windows {
    /// The number of their axes: 1 for steps, 2 for height and width.
    pub(crate) axes: usize,
    /// Height and width, including the places that a dilation skips.
    pub(crate) size: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) padding: Padding,
    pub(crate) dilated: bool,
    channels: Channels,
}

/// The number of channels that windows make.
enum Channels {
    /// This number.
    Filters(usize),
    /// This number for each channel of the input.
    PerInput(usize),
}

impl Windows {
    /// The windows of `layer`, if it has any.
    pub(crate) fn of(layer: &Layer) -> Option<Windows> {
        let (axes, size, strides, padding, dilation, channels) = match layer {
            Layer::Conv1D(conv) => (
                1,
                conv.kernel_size,
                conv.strides,
                conv.padding,
                conv.dilation_rate,
                Channels::Filters(conv.filters),
            ),
            Layer::Conv2D(conv) => (
                2,
                conv.kernel_size,
                conv.strides,
                conv.padding,
                conv.dilation_rate,
                Channels::Filters(conv.filters),
            ),
            Layer::DepthwiseConv2D(conv) => (
                2,
                conv.kernel_size,
                conv.strides,
                conv.padding,
                conv.dilation_rate,
                Channels::PerInput(conv.depth_multiplier),
            ),
            Layer::SeparableConv2D(conv) => (
                2,
                conv.kernel_size,
                conv.strides,
                conv.padding,
                conv.dilation_rate,
                Channels::Filters(conv.filters),
            ),
            Layer::MaxPooling1D(pool) | Layer::AveragePooling1D(pool) => {
                (1, pool.pool_size, pool.strides, pool.padding, [1, 1], Channels::PerInput(1))
            }
            Layer::MaxPooling2D(pool) | Layer::AveragePooling2D(pool) => {
                (2, pool.pool_size, pool.strides, pool.padding, [1, 1], Channels::PerInput(1))
            }
            Layer::Dense(_)
            | Layer::Flatten
            | Layer::Reshape { .. }
            | Layer::Permute { .. }
            | Layer::Rescaling { .. }
            | Layer::ZeroPadding2D { .. }
            | Layer::GlobalAveragePooling1D { .. }
            | Layer::GlobalAveragePooling2D { .. }
            | Layer::GlobalMaxPooling1D { .. }
            | Layer::GlobalMaxPooling2D { .. }
            | Layer::Activation { .. }
            | Layer::LeakyReLU { .. }
            | Layer::PReLU(_)
            | Layer::Dropout { .. }
            | Layer::SpatialDropout2D { .. }
            | Layer::GaussianNoise { .. }
            | Layer::BatchNormalization(_)
            | Layer::LayerNormalization(_)
            | Layer::Embedding(_)
            | Layer::SimpleRNN(_)
            | Layer::LSTM(_)
            | Layer::GRU(_)
            | Layer::Bidirectional(_) => return None,
        };
        let size = [0, 1].map(|axis| (size[axis] - 1) * dilation[axis] + 1);
        Some(Windows { axes, size, strides, padding, dilated: dilation != [1, 1], channels })
    }

    /// The channels made from `channels`, whether or not groups divide them.
    pub(crate) fn depth(&self, channels: usize) -> usize {
        match self.channels {
            Channels::Filters(filters) => filters,
            Channels::PerInput(count) => channels.saturating_mul(count),
        }
    }
}

/// How many windows of `layer` fit along each axis.
fn places(layer: &Layer, sides: [usize; 2]) -> Result<[usize; 2], String> {
    let class = layer.class();
    let Some(windows) = Windows::of(layer) else { return Ok(sides) };
    if windows.dilated && windows.strides != [1, 1] {
        return Err(format!("{class} cannot have strides and dilation_rate above 1 at once"));
    }
    let place = |axis: usize| {
        let (side, window, stride) = (sides[axis], windows.size[axis], windows.strides[axis]);
        match windows.padding {
            Padding::Same => Ok(side.div_ceil(stride)),
            Padding::Valid if window <= side => Ok((side - window) / stride + 1),
            Padding::Valid => Err(format!(
                "{class} has a window of {window} on an axis of {side}, which is too short for it"
            )),
        }
    };
    Ok([place(0)?, place(1)?])
}

/// The channels that a layer with windows makes from `channels`. Errors: its groups do not divide
/// them.
fn grouped(layer: &Layer, channels: usize) -> Result<usize, String> {
    if let Layer::Conv1D(Conv { filters, groups, .. }) | Layer::Conv2D(Conv { filters, groups, .. }) = layer
        && !(channels.is_multiple_of(*groups) && filters.is_multiple_of(*groups))
    {
        let class = layer.class();
        return Err(format!(
            "{class} has {groups} groups, but {channels} channels and {filters} filters; both must be multiples of {groups}"
        ));
    }
    Ok(Windows::of(layer).map_or(channels, |windows| windows.depth(channels)))
}

/// A shape in a message: `(28, 28, 1)`.
pub fn show(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", sizes.join(", "))
}

fn elements(shape: &[usize]) -> Result<u64, String> {
    shape
        .iter()
        .try_fold(1u64, |product, size| product.checked_mul(*size as u64))
        .ok_or_else(|| format!("{} has too many numbers", show(shape)))
}

/// All dimensions except the last one.
fn leading<'a>(class: &str, input: &'a [usize]) -> Result<&'a [usize], String> {
    input
        .split_last()
        .map(|(_, leading)| leading)
        .ok_or_else(|| format!("{class} needs rows with at least one dimension"))
}

fn sequence(class: &str, input: &[usize]) -> Result<[usize; 2], String> {
    match input {
        [steps, features] => Ok([*steps, *features]),
        [steps] => Err(format!(
            "{class} needs (steps, features), but its input is {}; put a Reshape to [{steps}, 1] or an Embedding before it",
            show(input)
        )),
        _ => Err(format!("{class} needs (steps, features), but its input is {}", show(input))),
    }
}

fn image(class: &str, input: &[usize]) -> Result<[usize; 3], String> {
    match input {
        [height, width, channels] => Ok([*height, *width, *channels]),
        [height, width] => Err(format!(
            "{class} needs (height, width, channels), but its input is {}; put a Reshape to [{height}, {width}, 1] before it",
            show(input)
        )),
        _ => Err(format!("{class} needs (height, width, channels), but its input is {}", show(input))),
    }
}

fn reshaped(target: &[i64], input: &[usize]) -> Result<Vec<usize>, String> {
    let have = elements(input)?;
    let known = target
        .iter()
        .filter(|size| **size > 0)
        .try_fold(1u64, |product, size| product.checked_mul(*size as u64));
    let misfit = || format!("Reshape cannot turn {}, which has {have} numbers, into {target:?}", show(input));
    let known = known.ok_or_else(misfit)?;
    let open = target.contains(&-1);
    if known == 0 || have % known != 0 || (!open && have != known) {
        return Err(misfit());
    }
    Ok(target.iter().map(|size| if *size == -1 { (have / known) as usize } else { *size as usize }).collect())
}

#[cfg(test)]
mod tests;
