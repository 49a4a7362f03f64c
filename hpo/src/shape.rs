//! Shape inference and cost of a layer: what it makes of a row, how many weights it has, what it computes and keeps.

use crate::limits;
use crate::network::{Conv2D, Layer, MaxPooling2D, Padding};

/// What one layer costs for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Weights.
    pub parameters: u64,
    /// Floating-point operations of a forward pass: a multiplication and an addition count as two.
    pub flops: u64,
    /// Numbers that the forward pass keeps for the backward pass.
    pub activations: u64,
}

/// The shape that `layer` makes of a row of shape `input`, or why it cannot, as the end of a sentence about it.
pub fn output_shape(layer: &Layer, input: &[usize]) -> Result<Vec<usize>, String> {
    let output = match layer {
        Layer::Flatten => vec![elements(input)? as usize],
        Layer::Reshape { target_shape } => reshaped(target_shape, input)?,
        Layer::Rescaling { .. } | Layer::Activation { .. } | Layer::Dropout { .. } => input.to_vec(),
        Layer::Dense(dense) => match input.split_last() {
            Some((_, leading)) => [leading, &[dense.units]].concat(),
            None => return Err("Dense needs rows with at least one dimension".to_owned()),
        },
        Layer::Conv2D(Conv2D { filters, kernel_size, strides, padding, .. }) => {
            let [height, width, _] = image("Conv2D", input)?;
            let place = |size, axis: usize| windows("Conv2D", size, kernel_size[axis], strides[axis], *padding);
            vec![place(height, 0)?, place(width, 1)?, *filters]
        }
        Layer::MaxPooling2D(MaxPooling2D { pool_size, strides, padding }) => {
            let [height, width, channels] = image("MaxPooling2D", input)?;
            let place = |size, axis: usize| windows("MaxPooling2D", size, pool_size[axis], strides[axis], *padding);
            vec![place(height, 0)?, place(width, 1)?, channels]
        }
    };
    if elements(&output)? > limits::ROW_ELEMENTS_MAX {
        return Err(format!("{} makes {} of a row, more than {} elements", layer.class(), show(&output), limits::ROW_ELEMENTS_MAX));
    }
    Ok(output)
}

/// What `layer` costs for a row of shape `input` that it turns into `output`. Saturates rather than overflow.
pub fn cost(layer: &Layer, input: &[usize], output: &[usize]) -> Cost {
    let outputs = elements(output).unwrap_or(u64::MAX);
    let affine = |inputs: u64, units: u64, use_bias: bool| Cost {
        parameters: inputs.saturating_mul(units).saturating_add(if use_bias { units } else { 0 }),
        flops: outputs.saturating_mul(inputs.saturating_mul(2).saturating_add(u64::from(use_bias))),
        activations: outputs,
    };
    let last = |shape: &[usize]| shape.last().copied().unwrap_or(1) as u64;
    match layer {
        Layer::Flatten | Layer::Reshape { .. } => Cost::default(),
        Layer::Dense(dense) => affine(last(input), dense.units as u64, dense.use_bias),
        Layer::Conv2D(conv) => {
            let window = (conv.kernel_size[0] * conv.kernel_size[1]) as u64;
            affine(window.saturating_mul(last(input)), conv.filters as u64, conv.use_bias)
        }
        Layer::MaxPooling2D(pool) => {
            Cost { flops: outputs.saturating_mul((pool.pool_size[0] * pool.pool_size[1]) as u64), activations: outputs, ..Cost::default() }
        }
        Layer::Rescaling { .. } | Layer::Activation { .. } | Layer::Dropout { .. } => {
            Cost { flops: outputs, activations: outputs, ..Cost::default() }
        }
    }
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
        .ok_or_else(|| format!("{} has too many elements", show(shape)))
}

fn image(class: &str, input: &[usize]) -> Result<[usize; 3], String> {
    match input {
        [height, width, channels] => Ok([*height, *width, *channels]),
        [height, width] => Err(format!(
            "{class} needs (height, width, channels), it gets {}; a Reshape to [{height}, {width}, 1] before it adds the channel",
            show(input)
        )),
        _ => Err(format!("{class} needs (height, width, channels), it gets {}", show(input))),
    }
}

/// How many windows fit along one axis.
fn windows(class: &str, size: usize, window: usize, stride: usize, padding: Padding) -> Result<usize, String> {
    match padding {
        Padding::Same => Ok(size.div_ceil(stride)),
        Padding::Valid if window <= size => Ok((size - window) / stride + 1),
        Padding::Valid => Err(format!("{class} has a window of {window} over an axis of {size}: it does not fit once")),
    }
}

fn reshaped(target: &[i64], input: &[usize]) -> Result<Vec<usize>, String> {
    let have = elements(input)?;
    let known = target.iter().filter(|size| **size > 0).try_fold(1u64, |product, size| product.checked_mul(*size as u64));
    let misfit = || format!("Reshape cannot make {target:?} of {}, which has {have} elements", show(input));
    let known = known.ok_or_else(misfit)?;
    let open = target.contains(&-1);
    if known == 0 || have % known != 0 || (!open && have != known) {
        return Err(misfit());
    }
    Ok(target.iter().map(|size| if *size == -1 { (have / known) as usize } else { *size as usize }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Dense, Initializer};

    fn conv(kernel: [usize; 2], strides: [usize; 2], padding: Padding) -> Layer {
        Layer::Conv2D(Conv2D {
            filters: 32,
            kernel_size: kernel,
            strides,
            padding,
            activation: Activation::Relu,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        })
    }

    #[test]
    fn shapes_and_sizes_are_those_of_keras() {
        // model.summary() of Conv2D(32, 3) on (28, 28, 1): (26, 26, 32), 320 weights.
        let layer = conv([3, 3], [1, 1], Padding::Valid);
        let output = output_shape(&layer, &[28, 28, 1]).unwrap();
        assert_eq!(output, [26, 26, 32]);
        assert_eq!(cost(&layer, &[28, 28, 1], &output).parameters, 320);
        assert_eq!(output_shape(&conv([3, 3], [2, 2], Padding::Same), &[5, 7, 1]).unwrap(), [3, 4, 32]);
        assert_eq!(output_shape(&conv([5, 2], [2, 3], Padding::Valid), &[5, 8, 3]).unwrap(), [1, 3, 32]);
        let dense = Layer::Dense(Dense {
            units: 128,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Initializer::Zeros,
            bias_initializer: Initializer::Zeros,
        });
        assert_eq!(cost(&dense, &[784], &[128]), Cost { parameters: 100_480, flops: 128 * (2 * 784 + 1), activations: 128 });
        assert_eq!(output_shape(&dense, &[7, 16]).unwrap(), [7, 128]);
    }

    #[test]
    fn a_misfit_says_what_the_layer_needs_and_gets() {
        let refuse = |layer: &Layer, input: &[usize]| output_shape(layer, input).unwrap_err();
        assert_eq!(refuse(&conv([3, 3], [1, 1], Padding::Valid), &[64]), "Conv2D needs (height, width, channels), it gets (64)");
        assert!(refuse(&conv([3, 3], [1, 1], Padding::Valid), &[8, 8]).contains("a Reshape to [8, 8, 1]"));
        assert!(refuse(&conv([9, 3], [1, 1], Padding::Valid), &[8, 8, 1]).contains("window of 9 over an axis of 8"));
        assert!(refuse(&Layer::Reshape { target_shape: vec![3, -1] }, &[64]).contains("cannot make [3, -1] of (64)"));
        assert_eq!(output_shape(&Layer::Reshape { target_shape: vec![8, -1, 2] }, &[64]).unwrap(), [8, 4, 2]);
    }
}
