//! Batches of scaled features, gathered from the shared dataset without a copy of it.

use std::sync::Arc;

use hpo::dataset::Scale;

use crate::dataset::Dataset;
use crate::{Error, Features};

/// A dataset and how its features are scaled: each becomes (x − shift) / divisor.
#[derive(Debug, Clone)]
pub struct Scaled {
    dataset: Arc<Dataset>,
    scaling: Scaling,
}

/// A division, not a product with the inverse: so `unit` is x / 255 to the bit as in NumPy, and the largest value of `min_max` is exactly 1.
#[derive(Debug, Clone, PartialEq)]
enum Scaling {
    None,
    Divide(f32),
    PerFeature { shift: Vec<f32>, divisor: Vec<f32> },
}

impl Scaled {
    /// The dataset under `scale`. Statistics are those of the rows `train` alone (see [`Split::train`](crate::Split)), in 64 bits, in their order,
    /// one for each number of a row; `standardize` divides by the standard deviation of the population. A feature that is constant in `train` becomes 0
    /// there. Labels are never scaled. Errors: `unit` without a declared range, a feature whose values span more than a 32-bit float, or one that is infinite once scaled.
    pub fn new(dataset: Arc<Dataset>, train: &[u32], scale: Scale) -> Result<Scaled, Error> {
        let scaling = match scale {
            Scale::None => Scaling::None,
            Scale::Unit => Scaling::Divide(dataset.schema.scale_max.ok_or(Error::NoRange)? as f32),
            Scale::Standardize | Scale::MinMax => per_feature(&dataset, train, scale == Scale::Standardize)?,
        };
        Ok(Scaled { dataset, scaling })
    }

    /// The dataset, unscaled, with its labels.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// What is subtracted from features, and what the rest is divided by: a number for each of a row, or one for all. None where they stay as they are.
    pub fn scaling(&self) -> Option<(Vec<f32>, Vec<f32>)> {
        match &self.scaling {
            Scaling::None => None,
            Scaling::Divide(divisor) => Some((vec![0.0], vec![*divisor])),
            Scaling::PerFeature { shift, divisor } => Some((shift.clone(), divisor.clone())),
        }
    }

    /// Replaces `out` by the features of `rows`, `(rows, width)`, scaled. Allocates only where `out` is too small, so never after the first batch.
    /// Panics where a row number isn't below the dataset's rows; those of a [`Split`](crate::Split) always are.
    pub fn gather(&self, rows: &[u32], out: &mut Vec<f32>) {
        out.clear();
        match &self.dataset.features {
            Features::U8(values) => self.gather_from(values, rows, out),
            Features::F32(values) => self.gather_from(values, rows, out),
        }
    }

    // Iterators that know their length, without an index: the compiler makes vector instructions of them, and writes each number once. Looking bytes up
    // in a table of quotients takes half as long again.
    fn gather_from<T: Copy + Into<f32>>(&self, values: &[T], rows: &[u32], out: &mut Vec<f32>) {
        let width = self.dataset.width();
        out.reserve(rows.len() * width);
        for row in rows {
            let row = &values[*row as usize * width..][..width];
            match &self.scaling {
                Scaling::None => out.extend(row.iter().map(|value| (*value).into())),
                Scaling::Divide(divisor) => out.extend(row.iter().map(|value| (*value).into() / divisor)),
                Scaling::PerFeature { shift, divisor } => {
                    let scales = shift.iter().zip(divisor);
                    out.extend(row.iter().zip(scales).map(|(value, (shift, divisor))| ((*value).into() - shift) / divisor));
                }
            }
        }
    }
}

fn per_feature(dataset: &Dataset, train: &[u32], standardize: bool) -> Result<Scaling, Error> {
    let features = match &dataset.features {
        Features::U8(values) => statistics(values, dataset.width(), train),
        Features::F32(values) => statistics(values, dataset.width(), train),
    };
    if let Some(feature) = features.iter().position(|feature| !(feature.high - feature.low).is_finite()) {
        return Err(Error::Span { feature: named(dataset, feature) });
    }
    let affine = features.iter().map(|Feature { low, high, sum, squares }| {
        let n = train.len() as f64;
        let (shift, divisor) = if standardize { ((sum / n) as f32, (squares / n).sqrt() as f32) } else { (*low, high - low) };
        // Constant, or spread too little for a 32-bit divisor.
        (shift, if divisor > 0.0 { divisor } else { 1.0 })
    });
    let (shift, divisor): (Vec<f32>, Vec<f32>) = affine.unzip();
    // Bytes never are: they spread by 1 over the root of the rows at least, or not at all.
    if let Features::F32(values) = &dataset.features
        && let Some((row, feature)) = first_far(values, &shift, &divisor)
    {
        return Err(Error::Far { feature: named(dataset, feature), row });
    }
    Ok(Scaling::PerFeature { shift, divisor })
}

/// A feature as an error names it.
fn named(dataset: &Dataset, feature: usize) -> String {
    dataset.columns.get(feature).map_or_else(|| format!("feature {feature} (from 0)"), |name| format!("column {name:?}"))
}

/// The row and the feature of the first value that is not finite once it is scaled.
fn first_far(values: &[f32], shift: &[f32], divisor: &[f32]) -> Option<(usize, usize)> {
    values.chunks_exact(shift.len()).enumerate().find_map(|(row, numbers)| {
        let mut are_finite = numbers.iter().zip(shift.iter().zip(divisor)).map(|(x, (shift, divisor))| ((x - shift) / divisor).is_finite());
        // Without a way out the loop is of vectors.
        let are_all = are_finite.clone().fold(true, |all, is_finite| all & is_finite);
        if are_all { None } else { are_finite.position(|is_finite| !is_finite).map(|feature| (row, feature)) }
    })
}

/// One feature over the training rows.
#[derive(Clone)]
struct Feature {
    low: f32,
    high: f32,
    sum: f64,
    /// The squared distances to the mean, summed in a second pass: the one-pass formula cancels where the mean is large.
    squares: f64,
}

fn statistics<T: Copy + Into<f32>>(values: &[T], width: usize, train: &[u32]) -> Vec<Feature> {
    let mut features = vec![Feature { low: f32::INFINITY, high: f32::NEG_INFINITY, sum: 0.0, squares: 0.0 }; width];
    let row = |row: &u32| values[*row as usize * width..][..width].iter().map(|value| (*value).into());
    for index in train {
        for (feature, value) in features.iter_mut().zip(row(index)) {
            let value: f32 = value;
            feature.low = feature.low.min(value);
            feature.high = feature.high.max(value);
            feature.sum += f64::from(value);
        }
    }
    for index in train {
        for (feature, value) in features.iter_mut().zip(row(index)) {
            let distance = f64::from(value) - feature.sum / train.len() as f64;
            feature.squares += distance * distance;
        }
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Labels, Rows};

    fn scaled(features: Features, scale_max: Option<f64>, train: &[u32], scale: Scale) -> Result<Scaled, Error> {
        let values = match &features {
            Features::U8(values) => values.len(),
            Features::F32(values) => values.len(),
        };
        let labels = Labels::Values(vec![0.5; values / 2]);
        let dataset = Rows { shape: vec![2], features, scale_max, ..Rows::of(labels) }.seal("test", None).unwrap();
        Scaled::new(Arc::new(dataset), train, scale)
    }

    fn gathered(scaled: &Scaled, rows: &[u32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; 3];
        scaled.gather(rows, &mut out);
        out
    }

    #[test]
    fn rows_are_gathered_in_the_order_asked_for() {
        let bytes = scaled(Features::U8((0..8).collect()), None, &[0], Scale::None).unwrap();
        assert_eq!(gathered(&bytes, &[3, 0, 3]), [6.0, 7.0, 0.0, 1.0, 6.0, 7.0]);
        let floats = scaled(Features::F32(vec![0.5, -1.5, 2.0, 3.0]), None, &[0], Scale::None).unwrap();
        assert_eq!(gathered(&floats, &[1, 0]), [2.0, 3.0, 0.5, -1.5]);
        assert_eq!(gathered(&floats, &[]), [0f32; 0]);
    }

    #[test]
    fn the_scaling_that_is_told_is_the_one_that_is_done() {
        let stored = [0.5f32, -1.5, 2.0, 3.0];
        for (scale, numbers) in [(Scale::Unit, 1), (Scale::Standardize, 2), (Scale::MinMax, 2)] {
            let scaled = scaled(Features::F32(stored.to_vec()), Some(4.0), &[0, 1], scale).unwrap();
            let (shift, divisor) = scaled.scaling().unwrap();
            assert_eq!((shift.len(), divisor.len()), (numbers, numbers));
            let by_hand: Vec<f32> = stored.iter().enumerate().map(|(at, x)| (x - shift[at % numbers]) / divisor[at % numbers]).collect();
            assert_eq!(gathered(&scaled, &[0, 1]), by_hand);
        }
        assert!(scaled(Features::F32(stored.to_vec()), None, &[0], Scale::None).unwrap().scaling().is_none());
    }

    #[test]
    fn unit_divides_by_the_declared_range_to_the_bit() {
        let all = scaled(Features::U8((0..=255).collect()), Some(255.0), &[0], Scale::Unit).unwrap();
        let expect: Vec<f32> = (0..=255u8).map(|value| f32::from(value) / 255.0).collect();
        assert_eq!(gathered(&all, &(0..128).collect::<Vec<_>>()), expect);
        let error = scaled(Features::F32(vec![0.0; 4]), None, &[0], Scale::Unit).unwrap_err();
        assert!(error.to_string().contains("use min_max or standardize"));
    }

    #[test]
    fn standardize_gives_training_rows_mean_0_and_deviation_1() {
        // NumPy: x = [1, 2, 4, 9]; (x - x.mean()) / x.std() = [-0.97332853, -0.64888568, 0., 1.62221421].
        let features = Features::F32(vec![1.0, 7.0, 2.0, 7.0, 4.0, 7.0, 9.0, 7.0]);
        let scaled = scaled(features, None, &[0, 1, 2, 3], Scale::Standardize).unwrap();
        let expect = [-0.973_328_53, 0.0, -0.648_885_7, 0.0, 0.0, 0.0, 1.622_214_2, 0.0];
        for (value, expect) in gathered(&scaled, &[0, 1, 2, 3]).into_iter().zip(expect) {
            assert!((value - expect).abs() < 1e-6, "{value} instead of {expect}");
        }
    }

    #[test]
    fn a_large_mean_does_not_cancel_a_small_deviation() {
        let features = Features::F32([0.0, 0.25, 0.5, 0.75].iter().flat_map(|part| [1e6 + part, 3.4e38]).collect());
        let scaled = scaled(features, None, &[0, 1, 2, 3], Scale::Standardize).unwrap();
        let values = gathered(&scaled, &[0, 1, 2, 3]);
        let deviation = (values.iter().step_by(2).map(|value| value * value).sum::<f32>() / 4.0).sqrt();
        assert!((deviation - 1.0).abs() < 0.02 && values[1] == 0.0, "{values:?}");
    }

    #[test]
    fn min_max_maps_the_training_rows_to_0_and_1_exactly() {
        let scaled = scaled(Features::U8(vec![3, 5, 10, 5, 6, 5]), Some(255.0), &[0, 1, 2], Scale::MinMax).unwrap();
        assert_eq!(gathered(&scaled, &[0, 1, 2]), [0.0, 0.0, 1.0, 0.0, 3.0 / 7.0, 0.0]);
    }

    #[test]
    fn statistics_do_not_see_the_validation_rows() {
        for scale in [Scale::Standardize, Scale::MinMax] {
            let with = |held_out: f32| {
                let features = Features::F32(vec![1.0, 2.0, 3.0, 5.0, held_out, -held_out]);
                gathered(&scaled(features, None, &[0, 1], scale).unwrap(), &[0, 1])
            };
            assert_eq!(with(0.0), with(1e30), "{scale:?}");
        }
    }

    #[test]
    fn values_too_far_apart_are_refused_not_infinite() {
        let features = || Features::F32(vec![0.0, -3e38, 0.0, 3e38]);
        for scale in [Scale::Standardize, Scale::MinMax] {
            assert!(matches!(scaled(features(), None, &[0, 1], scale), Err(Error::Span { feature }) if feature == "feature 1 (from 0)"));
            assert!(scaled(features(), None, &[], scale).is_err());
        }
    }

    #[test]
    fn a_value_too_far_from_the_training_rows_is_named_not_infinite() {
        let features = || Features::F32(vec![0.0, 0.0, 0.0, 1e-38, 0.0, 10.0]);
        for scale in [Scale::Standardize, Scale::MinMax] {
            let far = scaled(features(), None, &[0, 1], scale);
            assert!(matches!(far, Err(Error::Far { feature, row: 2 }) if feature == "feature 1 (from 0)"), "{scale:?}");
            assert!(scaled(features(), None, &[0, 2], scale).is_ok());
        }
    }

    #[test]
    fn a_batch_allocates_nothing_after_the_first() {
        let scaled = scaled(Features::U8(vec![1; 64]), Some(255.0), &[0, 1], Scale::MinMax).unwrap();
        let mut out = Vec::new();
        scaled.gather(&[0, 1, 2], &mut out);
        let (place, capacity) = (out.as_ptr(), out.capacity());
        scaled.gather(&[4, 5, 6], &mut out);
        scaled.gather(&[7], &mut out);
        assert_eq!((place, capacity), (out.as_ptr(), out.capacity()));
    }
}
