//! Loss and metrics of an epoch, with Keras's meaning (<https://keras.io/api/metrics/>): over all
//! its rows, since means of batches would count the rows of a last, smaller batch for more than the
//! others.

use candle_core::{DType, Result, Tensor};
use hpo::network::Activation;
use hpo::training::{Metric, Outputs};

use crate::kernels::activation::activate;
use crate::kernels::loss::EPSILON;
use crate::targets::{Labels, Targets};

/// Thresholds of [`Metric::Auc`]: Keras's default.
const THRESHOLDS: usize = 200;

/// The sums and counts that become loss and metrics.
///
/// Metrics of classes are computed from scores in [0, 1], which [`Outputs`] makes of the network's
/// outputs: a score above 1/2 says yes. With two classes, precision, recall, F1 and AUC are those of
/// the second, whether there is one output or two. With more classes, precision and recall count all
/// outputs together, F1 is the mean over the classes, and AUC is that of all outputs together; classes
/// without rows are left out of the last two.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Rows seen.
    pub rows: u64,
    loss: f64,
    meters: Vec<Meter>,
    view: View,
    scores: Vec<f32>,
}

/// How metrics read the outputs of a network.
#[derive(Debug, Clone)]
struct View {
    outputs: Outputs,
    /// Numbers in a row of the output.
    width: usize,
    /// The outputs of the classes that have rows; all outputs if labels are values or there is one
    /// output.
    classes: Vec<usize>,
    /// The output of the positive class, if there are two classes.
    positive: Option<usize>,
}

impl View {
    fn new(outputs: Outputs, width: usize, classes: &[u32]) -> View {
        let positive = match classes {
            [_, second] => Some(if width == 1 { 0 } else { *second as usize }),
            _ => None,
        };
        let classes =
            if width == 1 { vec![0] } else { classes.iter().map(|class| *class as usize).collect() };
        View { outputs, width, classes, positive }
    }

    /// Turns outputs into scores.
    fn score(&self, outputs: &mut [f32]) {
        match self.outputs {
            Outputs::Values | Outputs::Probabilities | Outputs::Distribution => {}
            Outputs::Logits => activate(Activation::Sigmoid, outputs, self.width),
            Outputs::ClassLogits => activate(Activation::Softmax, outputs, self.width),
            Outputs::Shares => outputs.chunks_exact_mut(self.width).for_each(|row| {
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|x| *x /= sum);
            }),
            // From [-1, 1], between which most lie, to [0.12, 0.88].
            Outputs::Margins => {
                outputs.iter_mut().for_each(|x| *x *= 2.0);
                activate(Activation::Sigmoid, outputs, self.width);
            }
        }
    }

    /// The scores of these outputs, row by row, each with what it should be.
    fn of<'a>(
        &self,
        outputs: &'a [usize],
        scores: &'a [f32],
        labels: &'a Labels,
    ) -> impl Iterator<Item = (f32, f64)> + use<'a> {
        let width = self.width;
        let row = move |(row, scores): (usize, &'a [f32])| {
            outputs.iter().map(move |at| (scores[*at], labels.at(row, *at, width)))
        };
        scores.chunks_exact(width).enumerate().flat_map(row)
    }
}

impl Totals {
    /// Empty sums for a network with `width` outputs. `classes` are those that have rows, in order; it
    /// is empty if labels are values.
    pub(crate) fn new(metrics: &[Metric], outputs: Outputs, width: usize, classes: &[u32]) -> Totals {
        let view = View::new(outputs, width, classes);
        let meters = metrics.iter().map(|metric| Meter::new(*metric, &view)).collect();
        Totals { rows: 0, loss: 0.0, meters, view, scores: Vec::new() }
    }

    /// Adds a batch of outputs `(rows, width)` whose mean loss is known.
    pub(crate) fn add(&mut self, output: &Tensor, mean_loss: f64, targets: &Targets) -> Result<()> {
        self.rows += targets.len() as u64;
        self.loss += mean_loss * targets.len() as f64;
        if self.meters.is_empty() {
            return Ok(());
        }
        let output: Vec<f32> = output.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        self.scores.clear();
        if self.meters.iter().any(|meter| !meter.ranks()) {
            self.scores.extend_from_slice(&output);
            self.view.score(&mut self.scores);
        }
        for meter in &mut self.meters {
            let numbers = if meter.ranks() { &output } else { &self.scores };
            meter.add(numbers, &self.view, &targets.labels);
        }
        Ok(())
    }

    /// The mean loss of a row.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.rows as f64
    }

    /// The metric with this number over all rows.
    pub fn value(&self, index: usize) -> f64 {
        self.meters[index].value(self.rows as f64, &self.view)
    }
}

/// A metric's counts and sums, in the order of rows.
#[derive(Debug, Clone)]
enum Meter {
    /// Rows whose largest output, the first of equals, is that of their class.
    Largest { right: u64 },
    /// Rows for which fewer than k outputs are larger than that of their class.
    Top { k: usize, right: u64 },
    /// Rows whose score lies on their side of 1/2.
    Sided { right: u64 },
    /// Decisions about the positive class, or about all outputs.
    Decided(Confusion, Decision),
    /// Decisions about each class, for the one with the largest output, the first of equals.
    F1(Vec<Confusion>),
    /// Counts of outputs that should be 0, and of those that should be 1, by the number of thresholds
    /// below the score, less one.
    Auc(Vec<[u64; 2]>),
    /// The sum of squared differences, and whether the root of their mean is wanted.
    Squares { sum: f64, root: bool },
    /// The sum of absolute differences.
    Absolute { sum: f64 },
    /// Sums of labels and of their squares, both less the first label so that few digits are lost, and
    /// of squared differences.
    R2 { first: Option<f64>, sum: f64, squares: f64, residual: f64 },
}

/// The metric that is made of a [`Confusion`].
#[derive(Debug, Clone, Copy)]
enum Decision {
    Precision,
    Recall,
    F1,
}

impl Meter {
    fn new(metric: Metric, view: &View) -> Meter {
        match metric {
            Metric::Accuracy if view.width == 1 => Meter::Sided { right: 0 },
            Metric::BinaryAccuracy => Meter::Sided { right: 0 },
            Metric::Accuracy | Metric::CategoricalAccuracy | Metric::SparseCategoricalAccuracy => {
                Meter::Largest { right: 0 }
            }
            Metric::TopKCategoricalAccuracy { k } => Meter::Top { k: k as usize, right: 0 },
            Metric::Precision => Meter::Decided(Confusion::default(), Decision::Precision),
            Metric::Recall => Meter::Decided(Confusion::default(), Decision::Recall),
            Metric::F1Score if view.positive.is_some() => Meter::Decided(Confusion::default(), Decision::F1),
            Metric::F1Score => Meter::F1(vec![Confusion::default(); view.width]),
            Metric::Auc => Meter::Auc(vec![[0; 2]; THRESHOLDS]),
            Metric::Mse => Meter::Squares { sum: 0.0, root: false },
            Metric::Rmse => Meter::Squares { sum: 0.0, root: true },
            Metric::Mae => Meter::Absolute { sum: 0.0 },
            Metric::R2Score => Meter::R2 { first: None, sum: 0.0, squares: 0.0, residual: 0.0 },
        }
    }

    /// Whether only the order of a row's outputs matters, which no score changes.
    fn ranks(&self) -> bool {
        matches!(self, Meter::Largest { .. } | Meter::Top { .. } | Meter::F1(_))
    }

    /// Adds a batch: its scores, or its outputs where the meter [ranks](Self::ranks).
    fn add(&mut self, numbers: &[f32], view: &View, labels: &Labels) {
        let width = view.width;
        let each = numbers.iter().enumerate().map(|(at, x)| (*x, labels.at(at / width, at % width, width)));
        let differences = each.clone().map(|(x, label)| f64::from(x) - label);
        match self {
            Meter::Largest { right } => {
                *right +=
                    rows(numbers, width, labels).filter(|(row, class)| largest(row) == *class).count() as u64
            }
            Meter::Top { k, right } => {
                *right +=
                    rows(numbers, width, labels).filter(|(row, class)| is_top(row, *class, *k)).count() as u64
            }
            Meter::Sided { right } => {
                *right += each.filter(|(x, label)| (*x > 0.5) == (*label == 1.0)).count() as u64
            }
            Meter::Decided(all, _) => match view.positive {
                Some(at) => {
                    view.of(&[at], numbers, labels).for_each(|(x, label)| all.count(x > 0.5, label != 0.0))
                }
                None => each.for_each(|(x, label)| all.count(x > 0.5, label != 0.0)),
            },
            Meter::F1(classes) => {
                for (row, class) in rows(numbers, width, labels) {
                    let taken = largest(row);
                    classes[taken].count(true, taken == class);
                    if taken != class {
                        classes[class].count(false, true);
                    }
                }
            }
            Meter::Auc(buckets) => {
                let outputs = view.positive.map_or(view.classes.as_slice(), |_| view.positive.as_slice());
                for (x, label) in view.of(outputs, numbers, labels) {
                    // The first threshold is below 0, so that 0 is above one as well.
                    let above = (x.clamp(0.0, 1.0) * (THRESHOLDS - 1) as f32).ceil() as usize;
                    buckets[above.saturating_sub(1)][usize::from(label != 0.0)] += 1;
                }
            }
            Meter::Squares { sum, .. } => {
                differences.for_each(|difference| *sum += difference * difference / width as f64)
            }
            Meter::Absolute { sum } => {
                differences.for_each(|difference| *sum += difference.abs() / width as f64)
            }
            Meter::R2 { first, sum, squares, residual } => {
                for (x, label) in each {
                    let shifted = label - *first.get_or_insert(label);
                    *sum += shifted;
                    *squares += shifted * shifted;
                    *residual += (f64::from(x) - label) * (f64::from(x) - label);
                }
            }
        }
    }

    fn value(&self, rows: f64, view: &View) -> f64 {
        match self {
            Meter::Largest { right } | Meter::Top { right, .. } | Meter::Sided { right } => {
                *right as f64 / rows
            }
            Meter::Decided(all, Decision::Precision) => ratio(all.right, all.right + all.wrong),
            Meter::Decided(all, Decision::Recall) => ratio(all.right, all.right + all.missed),
            Meter::Decided(all, Decision::F1) => all.f1(),
            Meter::F1(classes) => {
                view.classes.iter().map(|at| classes[*at].f1()).sum::<f64>() / view.classes.len() as f64
            }
            Meter::Auc(buckets) => area(buckets),
            Meter::Squares { sum, root } => {
                if *root {
                    (sum / rows).sqrt()
                } else {
                    sum / rows
                }
            }
            Meter::Absolute { sum } => sum / rows,
            Meter::R2 { sum, squares, residual, .. } => {
                let total = squares - sum * sum / rows;
                // Keras's value where labels are all the same.
                if total > 0.0 { 1.0 - residual / total } else { 0.0 }
            }
        }
    }
}

/// How decisions compare with the labels.
#[derive(Debug, Clone, Copy, Default)]
struct Confusion {
    /// True positives.
    right: u64,
    /// False positives.
    wrong: u64,
    /// False negatives.
    missed: u64,
}

impl Confusion {
    fn count(&mut self, taken: bool, positive: bool) {
        self.right += u64::from(taken && positive);
        self.wrong += u64::from(taken && !positive);
        self.missed += u64::from(!taken && positive);
    }

    /// The harmonic mean of precision and recall, with Keras's epsilons.
    fn f1(&self) -> f64 {
        let precision = self.right as f64 / ((self.right + self.wrong) as f64 + EPSILON);
        let recall = self.right as f64 / ((self.right + self.missed) as f64 + EPSILON);
        2.0 * precision * recall / (precision + recall + EPSILON)
    }
}

/// Each row of outputs with its class; none if labels are values, which no such metric reads.
fn rows<'a>(output: &'a [f32], width: usize, labels: &'a Labels) -> impl Iterator<Item = (&'a [f32], usize)> {
    let classes = match labels {
        Labels::Classes(classes) => classes.as_ref(),
        Labels::Values(_) => &[],
    };
    output.chunks_exact(width).zip(classes.iter().map(|class| *class as usize))
}

/// The position of the largest number, the first of equals.
fn largest(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (at, x)| if *x > row[best] { at } else { best })
}

/// Whether fewer than k outputs are larger than that of the class; NaN is never on top.
fn is_top(row: &[f32], class: usize, k: usize) -> bool {
    !row[class].is_nan() && row.iter().filter(|x| **x > row[class]).count() < k
}

/// The area under the curve of true over false positive rates, as trapezoids between thresholds.
fn area(buckets: &[[u64; 2]]) -> f64 {
    let all = buckets.iter().fold([0; 2], |all, bucket| [all[0] + bucket[0], all[1] + bucket[1]]);
    let (mut above, mut before, mut area) = ([0; 2], [0.0; 2], 0.0);
    for bucket in buckets.iter().rev() {
        above = [above[0] + bucket[0], above[1] + bucket[1]];
        let rates = [ratio(above[0], all[0]), ratio(above[1], all[1])];
        area += (rates[0] - before[0]) * (rates[1] + before[1]) / 2.0;
        before = rates;
    }
    area
}

/// The ratio; 0 if the whole is 0.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
