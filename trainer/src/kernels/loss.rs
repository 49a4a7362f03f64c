//! The losses in one operation each, with Keras's meaning; the mean over the rows of a batch.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

use super::activation::softmax;
use super::real::Real;
use super::{slice, tensor_like, values, with_real};

/// What keeps a probability away from 0 and 1: Keras's `epsilon()`.
pub(crate) const EPSILON: f64 = 1e-7;

/// How an output is judged.
#[derive(Debug, Clone)]
pub(crate) enum Judge {
    /// Cross-entropy of logits, softmax included, against class numbers: exact however far apart the logits lie.
    Logits(Arc<[u32]>),
    /// Cross-entropy of anything else: divided by its sum and kept [`EPSILON`] away from 0 and 1, as in Keras.
    Probabilities(Arc<[u32]>),
    /// The mean of squared differences.
    Squares(Arc<[f32]>),
}

/// The mean loss of an output `(rows, width)` on the CPU, a scalar.
pub(crate) fn loss(output: &Tensor, judge: Judge) -> Result<Tensor> {
    output.contiguous()?.apply_op1(judge)
}

impl CustomOp1 for Judge {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(&self, output: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        with_real!(output, T => {
            let output = slice::<T>(output, layout)?;
            // Summed in f64: a batch may have a million rows.
            let sum: f64 = output.chunks_exact(width).enumerate().map(|(row, output)| self.row(row, output).to_f64()).sum();
            Ok((T::to_cpu_storage_owned(vec![T::of(sum / rows as f64)]), Shape::from(())))
        })
    }

    fn bwd(&self, output: &Tensor, _loss: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = output.dims2()?;
        let outputs = output.storage_and_layout();
        with_real!(output, T => {
            let scale = gradient.to_scalar::<T>()? / T::of(rows as f64);
            let mut of_output = values::<T>(&outputs)?.to_vec();
            of_output.chunks_exact_mut(width).enumerate().for_each(|(row, output)| self.row_gradient(row, output, scale));
            tensor_like(of_output, output).map(Some)
        })
    }
}

impl Judge {
    /// The loss of one row.
    fn row<T: Real>(&self, row: usize, output: &[T]) -> T {
        match self {
            Judge::Logits(classes) => {
                let largest = output.iter().fold(output[0], |a, b| if *b > a { *b } else { a });
                let sum = output.iter().fold(T::ZERO, |sum, x| sum + Real::exp(*x - largest));
                Real::ln(sum) - (output[classes[row] as usize] - largest)
            }
            Judge::Probabilities(classes) => -Real::ln(clip(output[classes[row] as usize] / sum(output))),
            Judge::Squares(values) => {
                let squares = output.iter().fold(T::ZERO, |sum, x| sum + (*x - T::from(values[row])) * (*x - T::from(values[row])));
                squares / T::of(output.len() as f64)
            }
        }
    }

    /// Turns one row of outputs into its gradient.
    fn row_gradient<T: Real>(&self, row: usize, output: &mut [T], scale: T) {
        match self {
            Judge::Logits(classes) => {
                softmax(output);
                output[classes[row] as usize] -= T::ONE;
                output.iter_mut().for_each(|x| *x *= scale);
            }
            Judge::Probabilities(classes) => {
                let (class, sum) = (classes[row] as usize, sum(output));
                let probability = output[class] / sum;
                // Where the probability was clipped, nothing flows back.
                let outer = if clip(probability) == probability { scale / (probability * sum) } else { T::ZERO };
                output.fill(outer * probability);
                output[class] -= outer;
            }
            Judge::Squares(values) => {
                let scale = scale * T::of(2.0 / output.len() as f64);
                output.iter_mut().for_each(|x| *x = (*x - T::from(values[row])) * scale);
            }
        }
    }
}

fn sum<T: Real>(row: &[T]) -> T {
    row.iter().fold(T::ZERO, |sum, x| sum + *x)
}

fn clip<T: Real>(probability: T) -> T {
    let (least, most) = (T::of(EPSILON), T::of(1.0 - EPSILON));
    if probability < least {
        least
    } else if probability > most {
        most
    } else {
        probability
    }
}
