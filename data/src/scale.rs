//! Batches of scaled features, gathered from the shared dataset without a copy of it.

use std::sync::Arc;

use hpo::dataset::Scale;

use crate::bits::is_noise;
use crate::dataset::Dataset;
use crate::{Error, Features};

/// A dataset and how its features are scaled: each becomes (x − shift) / divisor.
#[derive(Debug, Clone)]
pub struct Scaled {
    dataset: Arc<Dataset>,
    scaling: Scaling,
}

/// A division, not a product with the inverse, so that `unit` is x / 255 to the bit as in NumPy, and
/// the largest value of `min_max` is exactly 1.
#[derive(Debug, Clone, PartialEq)]
enum Scaling {
    None,
    Divide(f32),
    PerFeature(Affine),
}

/// The shift that is subtracted from features and the divisor of the difference: a number for each
/// feature of a row, or one for all. The width is that of the arithmetic; the result is always a
/// 32-bit float.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "shift and divisor")]
pub enum Affine {
    /// For features of 8 or 32 bits.
    F32 { shift: Vec<f32>, divisor: Vec<f32> },
    /// For features of 64 bits.
    F64 { shift: Vec<f64>, divisor: Vec<f64> },
}

impl Scaled {
    /// The dataset under `scale`. Statistics are those of the rows `train` only (see
    /// [`Split::train`](crate::Split)), in 64 bits, in their order, one for each number of a row;
    /// `standardize` divides by the standard deviation of the population. A feature that is
    /// constant in `train` becomes 0 there. Labels are never scaled. Errors: `unit` without a
    /// declared range, `none` if different values would become equal, a feature whose range a 32-bit
    /// float cannot hold, or a value that is infinite once scaled.
    pub fn new(dataset: Arc<Dataset>, train: &[u32], scale: Scale) -> Result<Scaled, Error> {
        let scaling = match scale {
            Scale::None => dataset
                .collapse
                .clone()
                .map_or(Ok(Scaling::None), |collapse| Err(Error::Collapse(collapse)))?,
            Scale::Unit => Scaling::Divide(dataset.schema.scale_max.ok_or(Error::NoRange)? as f32),
            Scale::Standardize | Scale::MinMax => {
                Scaling::PerFeature(per_feature(&dataset, train, scale == Scale::Standardize)?)
            }
        };
        Ok(Scaled { dataset, scaling })
    }

    /// The dataset, unscaled, with its labels.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// How features are scaled. None if they are not.
    pub fn scaling(&self) -> Option<Affine> {
        match &self.scaling {
            Scaling::None => None,
            Scaling::Divide(divisor) => Some(Affine::F32 { shift: vec![0.0], divisor: vec![*divisor] }),
            Scaling::PerFeature(affine) => Some(affine.clone()),
        }
    }

    /// Replaces `out` by the features of `rows`, `(rows, width)`, scaled. Allocates only if `out` is
    /// too small, so never after the first batch. Panics if a row number is not below the number of
    /// rows; those of a [`Split`](crate::Split) always are.
    pub fn gather(&self, rows: &[u32], out: &mut Vec<f32>) {
        out.clear();
        out.reserve(rows.len() * self.dataset.width());
        match &self.dataset.features {
            Features::U8(values) => self.gather_narrow(values, rows, out),
            Features::F32(values) => self.gather_narrow(values, rows, out),
            Features::F64(values) => self.gather_wide(values, rows, out),
        }
    }

    // The compiler vectorises iterators that know their length and use no index, and writes each
    // number once. Looking bytes up in a table of quotients takes 1.5 times as long.
    fn gather_narrow<T: Copy + Into<f32>>(&self, values: &[T], rows: &[u32], out: &mut Vec<f32>) {
        for row in each(rows, values, self.dataset.width()) {
            match &self.scaling {
                Scaling::PerFeature(Affine::F32 { shift, divisor }) => {
                    let scales = shift.iter().zip(divisor);
                    out.extend(
                        row.iter()
                            .zip(scales)
                            .map(|(value, (shift, divisor))| ((*value).into() - shift) / divisor),
                    );
                }
                Scaling::Divide(divisor) => out.extend(row.iter().map(|value| (*value).into() / divisor)),
                Scaling::None | Scaling::PerFeature(_) => out.extend(row.iter().map(|value| (*value).into())),
            }
        }
    }

    /// Rounds to 32 bits at the end.
    fn gather_wide(&self, values: &[f64], rows: &[u32], out: &mut Vec<f32>) {
        for row in each(rows, values, self.dataset.width()) {
            match &self.scaling {
                Scaling::PerFeature(Affine::F64 { shift, divisor }) => {
                    let scales = shift.iter().zip(divisor);
                    out.extend(
                        row.iter()
                            .zip(scales)
                            .map(|(value, (shift, divisor))| ((value - shift) / divisor) as f32),
                    );
                }
                Scaling::Divide(divisor) => {
                    out.extend(row.iter().map(|value| (value / f64::from(*divisor)) as f32))
                }
                Scaling::None | Scaling::PerFeature(_) => out.extend(row.iter().map(|value| *value as f32)),
            }
        }
    }
}

/// The values of each of these rows.
fn each<'v, T>(rows: &'v [u32], values: &'v [T], width: usize) -> impl Iterator<Item = &'v [T]> {
    rows.iter().map(move |row| &values[*row as usize * width..][..width])
}

fn per_feature(dataset: &Dataset, train: &[u32], standardize: bool) -> Result<Affine, Error> {
    let width = dataset.width();
    let features = match &dataset.features {
        Features::U8(values) => statistics(values, width, train),
        Features::F32(values) => statistics(values, width, train),
        Features::F64(values) => statistics(values, width, train),
    };
    if let Some(feature) =
        features.iter().position(|feature| !(feature.high as f32 - feature.low as f32).is_finite())
    {
        return Err(Error::Span { feature: dataset.feature(feature) });
    }
    let rows = train.len() as f64;
    let (affine, far) = match &dataset.features {
        Features::F64(values) => {
            let (shift, divisor): (Vec<f64>, Vec<f64>) =
                features.iter().map(|feature| feature.wide(rows, standardize)).unzip();
            let far = first_far(values, &shift, &divisor, |x, shift, divisor| ((x - shift) / divisor) as f32);
            (Affine::F64 { shift, divisor }, far)
        }
        narrow => {
            let (shift, divisor): (Vec<f32>, Vec<f32>) =
                features.iter().map(|feature| feature.narrow(rows, standardize)).unzip();
            let far = match narrow {
                Features::F32(values) => {
                    first_far(values, &shift, &divisor, |x, shift, divisor| (x - shift) / divisor)
                }
                // Bytes never are: their deviation is at least 1 over the root of the number of rows,
                // or 0.
                _ => None,
            };
            (Affine::F32 { shift, divisor }, far)
        }
    };
    match far {
        Some((row, feature)) => Err(Error::Far { feature: dataset.feature(feature), row }),
        None => Ok(affine),
    }
}

/// The row and the feature of the first value that is not finite once it is scaled.
fn first_far<T: Copy>(
    values: &[T],
    shift: &[T],
    divisor: &[T],
    scaled: impl Fn(T, T, T) -> f32 + Copy,
) -> Option<(usize, usize)> {
    values.chunks_exact(shift.len()).enumerate().find_map(|(row, numbers)| {
        let mut are_finite = numbers
            .iter()
            .zip(shift.iter().zip(divisor))
            .map(|(x, (shift, divisor))| scaled(*x, *shift, *divisor).is_finite());
        // The compiler vectorises a loop that has no early exit.
        let are_all = are_finite.clone().fold(true, |all, is_finite| all & is_finite);
        if are_all { None } else { are_finite.position(|is_finite| !is_finite).map(|feature| (row, feature)) }
    })
}

/// One feature over the training rows.
#[derive(Clone)]
struct Feature {
    low: f64,
    high: f64,
    sum: f64,
    /// The sum of the squared distances to the mean, from a second pass: the formula with one pass
    /// cancels when the mean is large.
    squares: f64,
}

impl Feature {
    /// Shift and divisor in 32 bits, for values of at most 32 bits.
    fn narrow(&self, rows: f64, standardize: bool) -> (f32, f32) {
        let Feature { low, high, sum, squares } = self;
        let (shift, divisor) = match standardize {
            true => ((sum / rows) as f32, (squares / rows).sqrt() as f32),
            false => (*low as f32, *high as f32 - *low as f32),
        };
        // Constant, or with a spread too small for a 32-bit divisor.
        (shift, if divisor > 0.0 { divisor } else { 1.0 })
    }

    /// Shift and divisor in 64 bits.
    fn wide(&self, rows: f64, standardize: bool) -> (f64, f64) {
        let Feature { low, high, sum, squares } = self;
        let (shift, divisor) =
            if standardize { (sum / rows, (squares / rows).sqrt()) } else { (*low, high - low) };
        // Constant except for rounding, which must not become a feature: divided by the size of the
        // values, it is almost 0.
        (shift, if is_noise(*low, *high) { low.abs().max(high.abs()).max(1.0) } else { divisor })
    }
}

fn statistics<T: Copy + Into<f64>>(values: &[T], width: usize, train: &[u32]) -> Vec<Feature> {
    let mut features =
        vec![Feature { low: f64::INFINITY, high: f64::NEG_INFINITY, sum: 0.0, squares: 0.0 }; width];
    for row in each(train, values, width) {
        for (feature, value) in features.iter_mut().zip(row) {
            let value: f64 = (*value).into();
            feature.low = feature.low.min(value);
            feature.high = feature.high.max(value);
            feature.sum += value;
        }
    }
    for row in each(train, values, width) {
        for (feature, value) in features.iter_mut().zip(row) {
            let distance = (*value).into() - feature.sum / train.len() as f64;
            feature.squares += distance * distance;
        }
    }
    features
}

#[cfg(test)]
mod tests;
