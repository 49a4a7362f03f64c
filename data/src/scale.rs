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

/// A division, not a product with the inverse: so `unit` is x / 255 to the bit as in NumPy, and the
/// largest value of `min_max` is exactly 1.
#[derive(Debug, Clone, PartialEq)]
enum Scaling {
    None,
    Divide(f32),
    PerFeature(Affine),
}

/// The shift that is subtracted from features and the divisor of the rest: a number for each
/// feature of a row, or one for all. The width is that of the arithmetic; the result is a 32-bit
/// float either way.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "shift and divisor")]
pub enum Affine {
    /// Of features of 8 or 32 bits.
    F32 { shift: Vec<f32>, divisor: Vec<f32> },
    /// Of features of 64 bits.
    F64 { shift: Vec<f64>, divisor: Vec<f64> },
}

impl Scaled {
    /// The dataset under `scale`. Statistics are those of the rows `train` alone (see
    /// [`Split::train`](crate::Split)), in 64 bits, in their order, one for each number of a row;
    /// `standardize` divides by the standard deviation of the population. A feature that is
    /// constant in `train` becomes 0 there. Labels are never scaled. Errors: `unit` without a
    /// declared range, `none` where values would become equal that are not, a feature whose values
    /// span more than a 32-bit float, or one that is infinite once scaled.
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

    /// How features are scaled. None where they stay as they are.
    pub fn scaling(&self) -> Option<Affine> {
        match &self.scaling {
            Scaling::None => None,
            Scaling::Divide(divisor) => Some(Affine::F32 { shift: vec![0.0], divisor: vec![*divisor] }),
            Scaling::PerFeature(affine) => Some(affine.clone()),
        }
    }

    /// Replaces `out` by the features of `rows`, `(rows, width)`, scaled. Allocates only where
    /// `out` is too small, so never after the first batch. Panics where a row number isn't below
    /// the dataset's rows; those of a [`Split`](crate::Split) always are.
    pub fn gather(&self, rows: &[u32], out: &mut Vec<f32>) {
        out.clear();
        out.reserve(rows.len() * self.dataset.width());
        match &self.dataset.features {
            Features::U8(values) => self.gather_narrow(values, rows, out),
            Features::F32(values) => self.gather_narrow(values, rows, out),
            Features::F64(values) => self.gather_wide(values, rows, out),
        }
    }

    // Iterators that know their length, without an index: the compiler makes vector instructions of
    // them, and writes each number once. Looking bytes up in a table of quotients takes half as
    // long again.
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

    /// Rounds to 32 bits last of all.
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
                // Bytes never are: they spread by 1 over the root of the rows at least, or not at
                // all.
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
        // Without a way out the loop is of vectors.
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
    /// The squared distances to the mean, summed in a second pass: the one-pass formula cancels
    /// where the mean is large.
    squares: f64,
}

impl Feature {
    /// Shift and divisor in 32 bits, for values that are no wider.
    fn narrow(&self, rows: f64, standardize: bool) -> (f32, f32) {
        let Feature { low, high, sum, squares } = self;
        let (shift, divisor) = match standardize {
            true => ((sum / rows) as f32, (squares / rows).sqrt() as f32),
            false => (*low as f32, *high as f32 - *low as f32),
        };
        // Constant, or spread too little for a 32-bit divisor.
        (shift, if divisor > 0.0 { divisor } else { 1.0 })
    }

    /// Shift and divisor in 64 bits.
    fn wide(&self, rows: f64, standardize: bool) -> (f64, f64) {
        let Feature { low, high, sum, squares } = self;
        let (shift, divisor) =
            if standardize { (sum / rows, (squares / rows).sqrt()) } else { (*low, high - low) };
        // Constant but for rounding, which is not to become a feature: divided by its size, it is
        // next to nothing.
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
mod tests {
    use super::*;
    use crate::dataset::{Labels, Rows};

    fn scaled(
        features: Features,
        scale_max: Option<f64>,
        train: &[u32],
        scale: Scale,
    ) -> Result<Scaled, Error> {
        let values = match &features {
            Features::U8(values) => values.len(),
            Features::F32(values) => values.len(),
            Features::F64(values) => values.len(),
        };
        let labels = Labels::Values(vec![0.5; values / 2]);
        let dataset = Rows { shape: vec![2], features, scale_max, ..Rows::of(labels) }
            .seal("test", None, None)
            .unwrap();
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
            let Some(Affine::F32 { shift, divisor }) = scaled.scaling() else {
                panic!("32 bits in, 32 bits out")
            };
            assert_eq!((shift.len(), divisor.len()), (numbers, numbers));
            let by_hand: Vec<f32> = stored
                .iter()
                .enumerate()
                .map(|(at, x)| (x - shift[at % numbers]) / divisor[at % numbers])
                .collect();
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
        // NumPy: x = [1, 2, 4, 9]; (x - x.mean()) / x.std() = [-0.97332853, -0.64888568, 0.,
        // 1.62221421].
        let features = Features::F32(vec![1.0, 7.0, 2.0, 7.0, 4.0, 7.0, 9.0, 7.0]);
        let scaled = scaled(features, None, &[0, 1, 2, 3], Scale::Standardize).unwrap();
        let expect = [-0.973_328_53, 0.0, -0.648_885_7, 0.0, 0.0, 0.0, 1.622_214_2, 0.0];
        for (value, expect) in gathered(&scaled, &[0, 1, 2, 3]).into_iter().zip(expect) {
            assert!((value - expect).abs() < 1e-6, "{value} instead of {expect}");
        }
    }

    #[test]
    fn a_large_mean_does_not_cancel_a_small_deviation() {
        let features =
            Features::F32([0.0, 0.25, 0.5, 0.75].iter().flat_map(|part| [1e6 + part, 3.4e38]).collect());
        let scaled = scaled(features, None, &[0, 1, 2, 3], Scale::Standardize).unwrap();
        let values = gathered(&scaled, &[0, 1, 2, 3]);
        let deviation = (values.iter().step_by(2).map(|value| value * value).sum::<f32>() / 4.0).sqrt();
        assert!((deviation - 1.0).abs() < 0.02 && values[1] == 0.0, "{values:?}");
    }

    #[test]
    fn min_max_maps_the_training_rows_to_0_and_1_exactly() {
        let scaled =
            scaled(Features::U8(vec![3, 5, 10, 5, 6, 5]), Some(255.0), &[0, 1, 2], Scale::MinMax).unwrap();
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
            assert!(
                matches!(scaled(features(), None, &[0, 1], scale), Err(Error::Span { feature }) if feature == "feature 1 (from 0)")
            );
            assert!(scaled(features(), None, &[], scale).is_err());
        }
    }

    #[test]
    fn a_value_too_far_from_the_training_rows_is_named_not_infinite() {
        let features = || Features::F32(vec![0.0, 0.0, 0.0, 1e-38, 0.0, 10.0]);
        for scale in [Scale::Standardize, Scale::MinMax] {
            let far = scaled(features(), None, &[0, 1], scale);
            assert!(
                matches!(far, Err(Error::Far { feature, row: 2 }) if feature == "feature 1 (from 0)"),
                "{scale:?}"
            );
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

    /// Times in milliseconds of one minute, beside a small number; and the same, counted from the
    /// first.
    fn times() -> [Features; 2] {
        let rows = (0..400u32).map(|at| (f64::from(at * 7_919 % 60_000), f64::from(at) / 4.0));
        let wide = rows.clone().flat_map(|(time, other)| [1.7e12 + time, other]).collect();
        [
            Features::F64(wide),
            Features::F32(rows.flat_map(|(time, other)| [time as f32, other as f32]).collect()),
        ]
    }

    #[test]
    fn large_numbers_are_scaled_as_small_ones_that_differ_by_as_much() {
        let (train, all): (Vec<u32>, Vec<u32>) = ((0..300).collect(), (0..400).collect());
        for scale in [Scale::Standardize, Scale::MinMax] {
            let [wide, narrow] = times().map(|features| scaled(features, None, &train, scale).unwrap());
            let different = |scaled: &Scaled| {
                gathered(scaled, &all)
                    .iter()
                    .step_by(2)
                    .map(|x| x.to_bits())
                    .collect::<std::collections::HashSet<_>>()
                    .len()
            };
            assert_eq!((different(&wide), different(&narrow)), (400, 400), "{scale:?}");
            for (x, expect) in gathered(&wide, &all).into_iter().zip(gathered(&narrow, &all)) {
                assert!((x - expect).abs() < 1e-6, "{scale:?}: {x} instead of {expect}");
            }
            let Some(Affine::F64 { shift, divisor }) = wide.scaling() else {
                panic!("64 bits in, 64 bits out")
            };
            let Features::F64(stored) = times()[0].clone() else { unreachable!() };
            let by_hand: Vec<f32> = stored
                .iter()
                .enumerate()
                .map(|(at, x)| ((x - shift[at % 2]) / divisor[at % 2]) as f32)
                .collect();
            assert_eq!(gathered(&wide, &all), by_hand);
        }
    }

    #[test]
    fn values_that_would_become_equal_are_not_left_unscaled() {
        let [wide, _] = times();
        let refused = scaled(wide, None, &[0], Scale::None).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("feature 0 (from 0) has numbers that become equal in 32 bits, such as 1700000000"),
            "{refused}"
        );
        let apart = scaled(Features::F64(vec![1.7e12, 1.0, 1.8e12, 3.0]), None, &[0], Scale::None);
        assert!(apart.is_ok(), "they differ in 32 bits");
    }

    #[test]
    fn what_is_constant_but_for_rounding_becomes_next_to_nothing() {
        let values = vec![0.3, 0.0, 0.1 + 0.2, 1.0];
        for scale in [Scale::Standardize, Scale::MinMax] {
            let scaled = scaled(Features::F64(values.clone()), None, &[0, 1], scale).unwrap();
            assert!(gathered(&scaled, &[0, 1]).iter().step_by(2).all(|x| x.abs() < 1e-15), "{scale:?}");
        }
        let constant =
            scaled(Features::F64(vec![1.7e12, 0.0, 1.7e12, 1.0]), None, &[0, 1], Scale::Standardize).unwrap();
        assert_eq!(gathered(&constant, &[0, 1])[0], 0.0);
    }

    #[test]
    fn wide_values_too_far_from_the_training_rows_are_named() {
        let far = scaled(Features::F64(vec![0.0, 0.0, 0.0, 1e-38, 0.0, 10.0]), None, &[0, 1], Scale::MinMax);
        assert!(matches!(far, Err(Error::Far { feature, row: 2 }) if feature == "feature 1 (from 0)"));
    }
}
