//! What an output is held against, and the sums that become loss and metrics of an epoch.

use std::ops::AddAssign;
use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use hpo::training::{Loss, Metric};

use super::Error;
use crate::kernels::loss::Judge;

/// The labels of a batch, one a row.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Class numbers, from 0.
    Classes(Arc<[u32]>),
    /// Values of a regression.
    Values(Arc<[f32]>),
}

impl Targets {
    /// The labels of these rows of a dataset, as the loss takes them: the squared difference to a class is that to its number.
    pub fn of(labels: &data::Labels, rows: &[u32], loss: Loss) -> Targets {
        match labels {
            data::Labels::Classes(labels) if loss.is_classification() => {
                Targets::Classes(rows.iter().map(|row| labels[*row as usize]).collect())
            }
            data::Labels::Classes(labels) => Targets::Values(rows.iter().map(|row| labels[*row as usize] as f32).collect()),
            data::Labels::Values(labels) => Targets::Values(rows.iter().map(|row| labels[*row as usize]).collect::<Arc<[f32]>>()),
        }
    }

    /// How many rows.
    #[allow(clippy::len_without_is_empty, reason = "a batch has rows")]
    pub fn len(&self) -> usize {
        match self {
            Targets::Classes(classes) => classes.len(),
            Targets::Values(values) => values.len(),
        }
    }
}

/// Sums over rows: means of batches would count the rows of a last, smaller batch for more than the others.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Rows seen.
    pub rows: u64,
    /// The sum of the rows' losses.
    pub loss: f64,
    /// Rows whose largest output is that of their class.
    pub correct: u64,
    /// The sum of the rows' mean absolute differences.
    pub absolute: f64,
}

impl Totals {
    /// The mean loss of a row.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.rows as f64
    }

    /// The metric over all rows.
    pub fn metric(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Accuracy => self.correct as f64 / self.rows as f64,
            Metric::Mae => self.absolute / self.rows as f64,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.rows += other.rows;
        self.loss += other.loss;
        self.correct += other.correct;
        self.absolute += other.absolute;
    }
}

/// How the loss judges an output against these labels; `logits` where the last softmax was left to the loss.
pub(super) fn judge(loss: Loss, logits: bool, targets: &Targets) -> std::result::Result<Judge, Error> {
    match (loss, targets) {
        (Loss::SparseCategoricalCrossentropy | Loss::CategoricalCrossentropy, Targets::Classes(classes)) if logits => {
            Ok(Judge::Logits(classes.clone()))
        }
        (Loss::SparseCategoricalCrossentropy | Loss::CategoricalCrossentropy, Targets::Classes(classes)) => {
            Ok(Judge::Probabilities(classes.clone()))
        }
        (Loss::MeanSquaredError, Targets::Values(values)) => Ok(Judge::Squares(values.clone())),
        (loss, _) => Err(Error::Invalid(format!("{} does not go with these labels", loss.as_str()))),
    }
}

/// The sums of one batch of outputs `(rows, width)`, whose mean loss is known.
pub(super) fn tally(output: &Tensor, mean_loss: f64, targets: &Targets) -> Result<Totals> {
    let (rows, width) = output.dims2()?;
    let output: Vec<f32> = output.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let mut totals = Totals { rows: rows as u64, loss: mean_loss * rows as f64, ..Totals::default() };
    for (row, output) in output.chunks_exact(width).enumerate() {
        match targets {
            Targets::Classes(classes) => totals.correct += u64::from(largest(output) == classes[row] as usize),
            Targets::Values(values) => {
                let sum: f64 = output.iter().map(|x| f64::from((x - values[row]).abs())).sum();
                totals.absolute += sum / width as f64;
            }
        }
    }
    Ok(totals)
}

/// The position of the largest number, the first of equals.
fn largest(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (at, x)| if *x > row[best] { at } else { best })
}
