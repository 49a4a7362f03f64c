//! The rows that train and those that validate, and the order of an epoch: functions of seeds, the
//! same on any machine.

mod check;

use std::borrow::Cow;

use hpo::dataset::DatasetSpec;
use hpo::rng::{Purpose, stream};

use self::check::{check_classes, check_weights};
use crate::{Dataset, Error, Labels, limits};

/// Row numbers of a dataset, from 0, in rising order; every row is in one of the parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The rows that train. Never empty.
    pub train: Vec<u32>,
    /// The rows that validate. Empty only if the study asks for none, having neither
    /// `validation_split` nor `validation` files.
    pub validation: Vec<u32>,
}

/// The splits of a study, the same for all its trials: one for each of its `folds`, or the one of
/// [`split`]. Never empty.
///
/// It is an error if a part that was asked for has no row, if a class has rows in one part only, or
/// if all rows of a part have the weight 0. [`Catalog::schema`](crate::Catalog::schema) finds all
/// but the last before.
pub fn splits(dataset: &Dataset, spec: &DatasetSpec, seed: u64) -> Result<Vec<Split>, Error> {
    match spec.folds {
        Some(_) => folds(dataset, spec, seed),
        None => Ok(vec![split(dataset, spec, seed)?]),
    }
}

/// The split of a study without folds.
///
/// If there are `validation` rows, they validate and all others train. Otherwise floor(rows · (1 −
/// `validation_split`)) rows train, as in Keras: the first ones without `shuffle`. With `shuffle`,
/// rows are drawn by the stream of the study's seed; if labels are classes, each class gives its
/// share to validation, and rows that cannot be shared evenly come from the classes with the largest
/// remainders (the larger, then the lower class first). Errors as [`splits`].
pub fn split(dataset: &Dataset, spec: &DatasetSpec, seed: u64) -> Result<Split, Error> {
    let split = halves(dataset, spec, seed)?;
    check_classes(dataset, spec, &split)?;
    check_weights(dataset, spec, &split)?;
    Ok(split)
}

/// The folds of a study: every row validates in exactly one of them, and trains in the others.
///
/// The sizes of the folds differ by one at most; the first are the larger. Without `shuffle` they
/// are blocks of rows in their order, as those of scikit-learn's `KFold`. With it, rows are drawn by
/// the stream of the study's seed and dealt out in turn, one class after the other if labels are
/// classes, so that the folds' shares of each class differ by one at most. Errors as [`splits`], and
/// if the study has no `folds`.
pub fn folds(dataset: &Dataset, spec: &DatasetSpec, seed: u64) -> Result<Vec<Split>, Error> {
    let (folds, fold_of) = deal(dataset, spec, seed)?;
    (0..folds)
        .map(|fold| {
            let split = one_fold(&fold_of, fold);
            check_classes(dataset, spec, &split)?;
            check_weights(dataset, spec, &split)?;
            Ok(split)
        })
        .collect()
}

/// Checks that a study's dataset can be split as it asks. The seed decides the part of each row, but
/// not how many rows of a class are in a part.
pub(crate) fn check(dataset: &Dataset, spec: &DatasetSpec) -> Result<(), Error> {
    if spec.folds.is_none() {
        return check_classes(dataset, spec, &halves(dataset, spec, 0)?);
    }
    let (folds, fold_of) = deal(dataset, spec, 0)?;
    (0..folds).try_for_each(|fold| check_classes(dataset, spec, &one_fold(&fold_of, fold)))
}

/// The order in which trial `number` sees its training rows in `epoch`: a permutation of
/// 0..`train_rows`, positions in [`Split::train`].
pub fn epoch_order(train_rows: usize, seed: u64, number: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..train_rows as u32).collect();
    stream(seed, Purpose::Shuffle, number, epoch).shuffle(&mut order);
    order
}

fn halves(dataset: &Dataset, spec: &DatasetSpec, seed: u64) -> Result<Split, Error> {
    let (rows, all) = (dataset.schema.rows as usize, dataset.labels.len());
    if all > rows {
        return Ok(Split {
            train: (0..rows as u32).collect(),
            validation: (rows as u32..all as u32).collect(),
        });
    }
    let fraction = spec.validation_split;
    let train_count = spec.training_rows(rows as u64) as usize;
    let empty = |part| Err(Error::EmptyPart { fraction, rows, part });
    if train_count == 0 {
        return empty("training");
    }
    if train_count == rows && fraction > 0.0 {
        return empty("validation");
    }
    if !spec.shuffle {
        return Ok(Split {
            train: (0..train_count as u32).collect(),
            validation: (train_count as u32..rows as u32).collect(),
        });
    }
    Ok(draw(&strata(dataset), rows - train_count, seed))
}

/// The class of each row; one for all if labels are values.
fn strata(dataset: &Dataset) -> Cow<'_, [u32]> {
    match &dataset.labels {
        Labels::Classes(labels) => Cow::Borrowed(labels),
        Labels::Values(values) => Cow::Owned(vec![0; values.len()]),
    }
}

/// The number of folds, and for each row the fold in which it validates.
fn deal(dataset: &Dataset, spec: &DatasetSpec, seed: u64) -> Result<(u8, Vec<u8>), Error> {
    let (rows, folds) = (dataset.schema.rows, u64::from(spec.folds.unwrap_or(0)));
    let wrong = |detail: String| Err(Error::Part { field: "folds", detail });
    let count = match u8::try_from(folds) {
        Ok(count) if count >= 2 && folds <= rows => count,
        _ => {
            return wrong(format!(
                "{folds} folds of {rows} rows: at least two folds are needed, and a row for each"
            ));
        }
    };
    if folds * rows > limits::FOLD_ROWS_MAX {
        let most = limits::FOLD_ROWS_MAX / rows;
        return wrong(format!(
            "{folds} folds of {rows} rows would need too much memory; at most {most} are possible"
        ));
    }
    if !spec.shuffle {
        let (size, larger) = (rows / folds, rows % folds);
        let fold_of = (0..folds)
            .flat_map(|fold| std::iter::repeat_n(fold as u8, (size + u64::from(fold < larger)) as usize));
        return Ok((count, fold_of.collect()));
    }
    let strata = strata(dataset);
    let mut dealt: Vec<u32> = (0..rows as u32).collect();
    stream(seed, Purpose::Split, 0, 0).shuffle(&mut dealt);
    // Stable: within a class, the order stays that of the shuffle.
    dealt.sort_by_key(|row| strata[*row as usize]);
    let mut fold_of = vec![0; rows as usize];
    dealt.into_iter().enumerate().for_each(|(turn, row)| fold_of[row as usize] = (turn as u64 % folds) as u8);
    Ok((count, fold_of))
}

fn one_fold(fold_of: &[u8], fold: u8) -> Split {
    let (validation, train) = (0..fold_of.len() as u32).partition(|row| fold_of[*row as usize] == fold);
    Split { train, validation }
}

fn draw(labels: &[u32], validation_count: usize, seed: u64) -> Split {
    let mut quotas = quotas(labels, validation_count);
    let mut shuffled: Vec<u32> = (0..labels.len() as u32).collect();
    stream(seed, Purpose::Split, 0, 0).shuffle(&mut shuffled);
    let (mut validation, mut train): (Vec<u32>, Vec<u32>) = shuffled.into_iter().partition(|row| {
        let quota = &mut quotas[labels[*row as usize] as usize];
        let drawn = *quota > 0;
        *quota -= usize::from(drawn);
        drawn
    });
    // In a rising order memory is read forwards; the order of training is that of the epoch.
    train.sort_unstable();
    validation.sort_unstable();
    Split { train, validation }
}

/// The number of rows that each class gives to validation: proportional to its size, by the method of
/// largest remainders.
fn quotas(labels: &[u32], validation_count: usize) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |largest| *largest as usize + 1);
    let mut sizes = vec![0usize; classes];
    labels.iter().for_each(|label| sizes[*label as usize] += 1);
    let share = |class: usize| sizes[class] as u128 * validation_count as u128;
    let rows = labels.len().max(1) as u128;
    let mut quotas: Vec<usize> = (0..classes).map(|class| (share(class) / rows) as usize).collect();
    let mut order: Vec<usize> = (0..classes).collect();
    order.sort_by_key(|class| {
        std::cmp::Reverse((share(*class) % rows, sizes[*class], std::cmp::Reverse(*class)))
    });
    let missing = validation_count - quotas.iter().sum::<usize>();
    order.iter().take(missing).for_each(|class| quotas[*class] += 1);
    quotas
}

#[cfg(test)]
mod tests;
