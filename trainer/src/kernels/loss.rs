//! Keras's losses (<https://keras.io/api/losses/>), each in one operation: the mean over the rows
//! of a batch, each times its weight.

use std::cmp::Ordering;

use candle_core::{Result, Tensor};
use hpo::training::Loss;

use super::activation::softmax;
use super::operation::{Custom, Operation};
use super::real::Real;
use super::vectorised;
use crate::targets::{Labels, Targets};

/// Keras's `epsilon()`: probabilities are kept this far away from 0 and 1.
pub(crate) const EPSILON: f64 = 1e-7;

/// A loss with the labels of a batch, which go with it.
#[derive(Debug, Clone)]
pub(crate) struct Criterion {
    /// The loss.
    pub(crate) loss: Loss,
    /// The labels.
    pub(crate) targets: Targets,
}

/// The mean loss of an output `(rows, width)` on the CPU, a scalar.
pub(crate) fn loss(output: &Tensor, criterion: Criterion) -> Result<Tensor> {
    let (_, width) = output.dims2()?;
    output.contiguous()?.apply_op1(Custom(Mean { criterion, width }))
}

/// The numbers that a loss is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The row, its softmax included: exact however far apart the logits lie.
    Logits,
    /// The row, divided by its sum and kept [`EPSILON`] away from 0 and 1, as in Keras.
    Probabilities,
    /// Each number; a row's loss is their sum or their mean.
    Each {
        /// Whether it is the sum.
        sum: bool,
    },
}

impl Criterion {
    /// The numbers that the loss is taken over.
    pub(crate) fn form(&self) -> Form {
        match self.loss {
            Loss::SparseCategoricalCrossentropy { from_logits }
            | Loss::CategoricalCrossentropy { from_logits, .. } => match from_logits {
                true => Form::Logits,
                false => Form::Probabilities,
            },
            Loss::KlDivergence => Form::Each { sum: true },
            Loss::BinaryCrossentropy { .. }
            | Loss::MeanSquaredError
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::LogCosh
            | Loss::Hinge
            | Loss::Poisson => Form::Each { sum: false },
        }
    }

    /// The label smoothing.
    pub(crate) fn smoothing(&self) -> f64 {
        match self.loss {
            Loss::CategoricalCrossentropy { label_smoothing, .. }
            | Loss::BinaryCrossentropy { label_smoothing, .. } => label_smoothing,
            Loss::SparseCategoricalCrossentropy { .. }
            | Loss::MeanSquaredError
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::LogCosh
            | Loss::KlDivergence
            | Loss::Hinge
            | Loss::Poisson => 0.0,
        }
    }

    /// The target that [`value`] compares a number of the output with.
    #[inline(always)]
    pub(crate) fn target(&self, row: usize, column: usize, width: usize) -> f64 {
        let label = self.targets.labels.at(row, column, width);
        match self.loss {
            Loss::BinaryCrossentropy { label_smoothing, .. } => {
                label * (1.0 - label_smoothing) + 0.5 * label_smoothing
            }
            Loss::Hinge => 2.0 * label - 1.0,
            Loss::KlDivergence => label.max(EPSILON),
            Loss::SparseCategoricalCrossentropy { .. }
            | Loss::CategoricalCrossentropy { .. }
            | Loss::MeanSquaredError
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::LogCosh
            | Loss::Poisson => label,
        }
    }

    /// The number that the loss is computed from: in binary cross-entropy the clipped probability. It
    /// is clipped with its own precision, since 1 - 1e-7 is another number in 32 bits, whose logarithm
    /// is a hundredth larger.
    #[inline(always)]
    fn seen<T: Real>(&self, x: T) -> T {
        match self.loss {
            Loss::BinaryCrossentropy { from_logits: false, .. } => clip(x),
            Loss::BinaryCrossentropy { from_logits: true, .. }
            | Loss::SparseCategoricalCrossentropy { .. }
            | Loss::CategoricalCrossentropy { .. }
            | Loss::MeanSquaredError
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::LogCosh
            | Loss::KlDivergence
            | Loss::Hinge
            | Loss::Poisson => x,
        }
    }

    /// The class of a row.
    #[inline(always)]
    fn class(&self, row: usize) -> usize {
        match &self.targets.labels {
            Labels::Classes(classes) => classes[row] as usize,
            Labels::Values(_) => unreachable!("a loss of classes is made with classes"),
        }
    }

    /// The loss of a row; `scratch` is as long.
    #[inline(always)]
    fn row<T: Real>(&self, row: usize, output: &[T], scratch: &mut [T]) -> f64 {
        let (smoothing, width) = (self.smoothing(), output.len());
        match self.form() {
            Form::Logits => {
                let largest = largest(output);
                scratch.iter_mut().zip(output).for_each(|(e, x)| *e = Real::exp(*x - largest));
                let mut target = output[self.class(row)] - largest;
                if smoothing > 0.0 {
                    let mean = output.iter().map(|x| (*x - largest).to_f64()).sum::<f64>() / width as f64;
                    target = T::of(target.to_f64() * (1.0 - smoothing) + mean * smoothing);
                }
                (Real::ln(sum(scratch)) - target).to_f64()
            }
            Form::Probabilities => {
                let sum = sum(output);
                let own = Real::ln(clip(output[self.class(row)] / sum)).to_f64();
                if smoothing == 0.0 {
                    return -own;
                }
                let mean =
                    output.iter().map(|x| Real::ln(clip(*x / sum)).to_f64()).sum::<f64>() / width as f64;
                -(own * (1.0 - smoothing) + mean * smoothing)
            }
            Form::Each { sum } => {
                let target = |column| self.target(row, column, width);
                let all: f64 = output
                    .iter()
                    .enumerate()
                    .map(|(column, x)| value(self.loss, self.seen(*x).to_f64(), target(column)))
                    .sum();
                if sum { all } else { all / width as f64 }
            }
        }
    }

    /// Turns a row of outputs into its gradient, times `scale`.
    #[inline(always)]
    fn row_gradient<T: Real>(&self, row: usize, output: &mut [T], scale: T) {
        let width = output.len();
        let (spread, own) = (T::of(self.smoothing() / width as f64), T::of(1.0 - self.smoothing()));
        match self.form() {
            Form::Logits => {
                softmax(output);
                output[self.class(row)] -= own;
                output.iter_mut().for_each(|x| *x = (*x - spread) * scale);
            }
            Form::Probabilities => {
                let (class, sum) = (self.class(row), sum(output));
                let scale = scale / sum;
                let mut flowing = T::ZERO;
                for (column, x) in output.iter_mut().enumerate() {
                    let probability = *x / sum;
                    let target = if column == class { spread + own } else { spread };
                    // A clipped probability has no gradient.
                    let flows = clip(probability) == probability && target != T::ZERO;
                    flowing += if flows { target } else { T::ZERO };
                    *x = if flows { -target / probability } else { T::ZERO };
                }
                output.iter_mut().for_each(|x| *x = (*x + flowing) * scale);
            }
            Form::Each { sum } => {
                let scale = if sum { scale } else { scale / T::of(width as f64) };
                for (column, x) in output.iter_mut().enumerate() {
                    // A clipped number has no gradient; NaN was not clipped.
                    let clipped = self.seen(*x).partial_cmp(x).is_some_and(Ordering::is_ne);
                    *x = if clipped {
                        T::ZERO
                    } else {
                        T::of(slope(self.loss, x.to_f64(), self.target(row, column, width))) * scale
                    };
                }
            }
        }
    }
}

/// The loss of one number, as it is [seen](Criterion::seen). In `f64`, since differences of logarithms
/// lose most of their digits.
fn value(loss: Loss, x: f64, y: f64) -> f64 {
    let difference = x - y;
    // ln(1 + exp(-|x|)): for a logistic of any size.
    let tail = |x: f64| Real::ln_1p(Real::exp(-x.abs()));
    match loss {
        Loss::MeanSquaredError => difference * difference,
        Loss::BinaryCrossentropy { from_logits: true, .. } => x.max(0.0) - x * y + tail(x),
        Loss::BinaryCrossentropy { .. } => -(y * Real::ln(x) + (1.0 - y) * Real::ln(1.0 - x)),
        Loss::MeanAbsoluteError => difference.abs(),
        Loss::Huber { delta } => {
            let within = difference.abs().min(delta);
            within * (difference.abs() - within / 2.0)
        }
        Loss::LogCosh => difference.abs() + tail(2.0 * difference) - std::f64::consts::LN_2,
        Loss::KlDivergence => y * Real::ln(y / x.clamp(EPSILON, 1.0)),
        Loss::Hinge => (1.0 - x * y).max(0.0),
        Loss::Poisson => x - y * Real::ln(x + EPSILON),
        Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => {
            unreachable!("they go over rows")
        }
    }
}

/// The derivative of [`value`] by x.
fn slope(loss: Loss, x: f64, y: f64) -> f64 {
    let difference = x - y;
    match loss {
        Loss::MeanSquaredError => 2.0 * difference,
        Loss::BinaryCrossentropy { from_logits: true, .. } => 1.0 / (1.0 + Real::exp(-x)) - y,
        Loss::BinaryCrossentropy { .. } => difference / (x * (1.0 - x)),
        Loss::MeanAbsoluteError if difference == 0.0 => 0.0,
        Loss::MeanAbsoluteError => difference.signum(),
        Loss::Huber { delta } => difference.clamp(-delta, delta),
        Loss::LogCosh => Real::tanh(difference),
        Loss::KlDivergence if x.clamp(EPSILON, 1.0) != x => 0.0,
        Loss::KlDivergence => -y / x,
        Loss::Hinge if 1.0 - x * y < 0.0 => 0.0,
        Loss::Hinge => -y,
        Loss::Poisson => 1.0 - y / (x + EPSILON),
        Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => {
            unreachable!("they go over rows")
        }
    }
}

#[inline(always)]
fn largest<T: Real>(row: &[T]) -> T {
    row.iter().fold(row[0], |a, b| if *b > a { *b } else { a })
}

#[inline(always)]
fn sum<T: Real>(row: &[T]) -> T {
    row.iter().fold(T::ZERO, |sum, x| sum + *x)
}

#[inline(always)]
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

vectorised! {
    /// Adds up the rows' losses, each times its weight.
    fn add_up<T: Real>(criterion: &Criterion, output: &[T], width: usize, sum: &mut f64) {
        let mut scratch = vec![T::ZERO; width];
        for (row, output) in output.chunks_exact(width).enumerate() {
            // In f64: a batch may have a million rows.
            *sum += criterion.row(row, output, &mut scratch) * f64::from(criterion.targets.weight(row));
        }
    }
}

vectorised! {
    /// Turns outputs into their gradients, each row's times `scale` and its weight.
    fn gradients<T: Real>(criterion: &Criterion, output: &mut [T], width: usize, scale: T) {
        for (row, output) in output.chunks_exact_mut(width).enumerate() {
            criterion.row_gradient(row, output, scale * T::from(criterion.targets.weight(row)));
        }
    }
}

/// The mean loss of rows of `width` numbers.
struct Mean {
    criterion: Criterion,
    width: usize,
}

impl Operation<1> for Mean {
    fn dims(&self, _: [&[usize]; 1]) -> Vec<usize> {
        Vec::new()
    }

    fn forward<T: Real>(&self, [output]: [&[T]; 1]) -> Vec<T> {
        let mut sum = 0.0;
        add_up(&self.criterion, output, self.width, &mut sum);
        vec![T::of(sum / (output.len() / self.width) as f64)]
    }

    fn backward<T: Real>(
        &self,
        [output]: [&[T]; 1],
        _loss: &[T],
        gradient: &[T],
        _: [bool; 1],
    ) -> [Option<Vec<T>>; 1] {
        let mut of_output = output.to_vec();
        gradients(
            &self.criterion,
            &mut of_output,
            self.width,
            gradient[0] / T::of((output.len() / self.width) as f64),
        );
        [Some(of_output)]
    }
}

#[cfg(test)]
mod tests;
