//! Labels and row weights of a batch: what the loss and the metrics compare outputs with.

use std::sync::Arc;

use hpo::training::{Class, ClassWeight};

/// The labels of a batch with their weights.
#[derive(Debug, Clone)]
pub struct Targets {
    /// A label for each row.
    pub labels: Labels,
    /// How much each row counts in the loss; without weights, all rows count the same.
    pub weights: Option<Arc<[f32]>>,
}

/// The labels of a batch, one for each row.
#[derive(Debug, Clone)]
pub enum Labels {
    /// Class numbers, from 0.
    Classes(Arc<[u32]>),
    /// Values of a regression.
    Values(Arc<[f32]>),
}

impl Targets {
    /// The labels and weights of these rows of a dataset.
    pub fn of(labels: &data::Labels, rows: &[u32], weights: &RowWeights) -> Targets {
        let labels = match labels {
            data::Labels::Classes(labels) => {
                Labels::Classes(rows.iter().map(|row| labels[*row as usize]).collect())
            }
            data::Labels::Values(labels) => {
                Labels::Values(rows.iter().map(|row| labels[*row as usize]).collect())
            }
        };
        let weights = weights.of(&labels, rows);
        Targets { labels, weights }
    }

    /// How many rows.
    #[allow(clippy::len_without_is_empty, reason = "a batch has rows")]
    pub fn len(&self) -> usize {
        match &self.labels {
            Labels::Classes(classes) => classes.len(),
            Labels::Values(values) => values.len(),
        }
    }

    /// How much a row counts.
    #[inline(always)]
    pub(crate) fn weight(&self, row: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }
}

impl Labels {
    /// The target for a number of an output `(rows, width)`: the value; the class, if there is one
    /// output; otherwise 1 for the class and 0 for others.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, column: usize, width: usize) -> f64 {
        match self {
            Labels::Values(values) => f64::from(values[row]),
            Labels::Classes(classes) if width == 1 => f64::from(classes[row]),
            Labels::Classes(classes) => f64::from(u8::from(classes[row] as usize == column)),
        }
    }
}

/// How much rows count in the loss: a row's own weight (Keras's `sample_weight`) times that of its
/// class. Made once for each trial.
#[derive(Debug, Clone, Default)]
pub struct RowWeights<'a> {
    /// By class; classes beyond the last weigh 1.
    classes: Vec<f32>,
    /// By row of the dataset.
    rows: Option<&'a [f32]>,
}

impl<'a> RowWeights<'a> {
    /// The weights for a validation, in which all classes weigh the same, as in Keras.
    pub fn evaluation(rows: Option<&'a [f32]>) -> RowWeights<'a> {
        RowWeights { classes: Vec::new(), rows }
    }

    /// The weights for a training on the rows `trained`.
    pub fn training(
        weight: &ClassWeight,
        labels: &data::Labels,
        trained: &[u32],
        rows: Option<&'a [f32]>,
    ) -> RowWeights<'a> {
        let classes = match (weight, labels) {
            (ClassWeight::None, _) | (_, data::Labels::Values(_)) => Vec::new(),
            (ClassWeight::Balanced, data::Labels::Classes(labels)) => {
                balanced(trained.iter().map(|row| labels[*row as usize]))
            }
            (ClassWeight::Given(weights), data::Labels::Classes(_)) => {
                // By number: a name that is left is of no class of the dataset, and was refused.
                let by_number = |(class, weight): &(Class, f64)| match class {
                    Class::Number(number) => Some((*number as usize, *weight as f32)),
                    Class::Name(_) => None,
                };
                let weights = weights.iter().filter_map(by_number);
                let mut classes = vec![1.0; weights.clone().map(|(class, _)| class + 1).max().unwrap_or(0)];
                weights.for_each(|(class, weight)| classes[class] = weight);
                classes
            }
        };
        RowWeights { classes, rows }
    }

    fn of(&self, labels: &Labels, rows: &[u32]) -> Option<Arc<[f32]>> {
        let class = |at: usize| match labels {
            Labels::Classes(classes) => self.classes.get(classes[at] as usize).copied().unwrap_or(1.0),
            Labels::Values(_) => 1.0,
        };
        let own = |row: u32| self.rows.map_or(1.0, |weights| weights[row as usize]);
        let weighted = self.rows.is_some() || !self.classes.is_empty();
        weighted.then(|| rows.iter().enumerate().map(|(at, row)| class(at) * own(*row)).collect())
    }
}

/// `rows / (classes · rows of the class)`, for the classes that have rows, as scikit-learn's
/// `balanced`.
fn balanced(classes: impl ExactSizeIterator<Item = u32>) -> Vec<f32> {
    let (rows, mut counts) = (classes.len(), Vec::new());
    for class in classes {
        counts.resize(counts.len().max(class as usize + 1), 0u64);
        counts[class as usize] += 1;
    }
    let there = counts.iter().filter(|count| **count > 0).count();
    counts
        .iter()
        .map(|count| if *count == 0 { 1.0 } else { (rows as f64 / (there as f64 * *count as f64)) as f32 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(of: &RowWeights, labels: &data::Labels, rows: &[u32]) -> Option<Vec<f32>> {
        Targets::of(labels, rows, of).weights.map(|weights| weights.to_vec())
    }

    #[test]
    fn balanced_classes_count_the_same_together() {
        let labels = data::Labels::Classes(vec![0, 1, 1, 1, 3, 1]);
        // The last row is not trained on, and no row has class 2.
        let of = RowWeights::training(&ClassWeight::Balanced, &labels, &[0, 1, 2, 3, 4], None);
        assert_eq!(weights(&of, &labels, &[4, 3, 0]), Some(vec![5.0 / 3.0, 5.0 / 9.0, 5.0 / 3.0]));
    }

    #[test]
    fn a_row_counts_its_own_weight_times_that_of_its_class() {
        let labels = data::Labels::Classes(vec![0, 1, 2]);
        let (given, own) = (ClassWeight::Given(vec![(Class::Number(1), 4.0)]), [0.5, 2.0, 3.0]);
        let rows = [2, 1, 0];
        assert_eq!(
            weights(&RowWeights::training(&given, &labels, &rows, Some(&own)), &labels, &rows),
            Some(vec![3.0, 8.0, 0.5])
        );
        assert_eq!(weights(&RowWeights::evaluation(Some(&own)), &labels, &rows), Some(vec![3.0, 2.0, 0.5]));
        assert_eq!(weights(&RowWeights::evaluation(None), &labels, &rows), None);
    }
}
