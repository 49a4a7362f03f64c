//! Initial weights, as Keras draws them, from streams of our own.

use candle_core::WithDType;
use hpo::network::{Distribution, FanMode, Initializer, LayerWeight};
use hpo::rng::Rng;

/// The standard deviation of a standard normal that was truncated at 2, by which Keras divides.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// The initial numbers of `weight`. They are drawn with 64 bits each and rounded one by one: a copy
/// of all would be twice as large as the weight.
pub(crate) fn start<T: WithDType>(weight: &LayerWeight, rng: &mut Rng) -> Vec<T> {
    let mut numbers = draw(weight.initializer, &weight.shape, rng);
    if let Some(ones) = &weight.ones {
        numbers[ones.clone()].fill(T::from_f64(1.0));
    }
    numbers
}

/// `shape.product()` weights. Fans are Keras's: of a kernel, the last two dimensions times the
/// window; of a bias, its length.
fn draw<T: WithDType>(initializer: Initializer, shape: &[usize], rng: &mut Rng) -> Vec<T> {
    let count = shape.iter().product();
    let all = |number: f64| vec![T::from_f64(number); count];
    match initializer {
        Initializer::Zeros => all(0.0),
        Initializer::Ones => all(1.0),
        Initializer::Constant { value } => all(value),
        Initializer::RandomNormal { mean, stddev } => each(count, || mean + rng.normal() * stddev),
        Initializer::RandomUniform { minval, maxval } => {
            each(count, || minval + rng.unit() * (maxval - minval))
        }
        Initializer::TruncatedNormal { mean, stddev } => each(count, || mean + truncated(rng) * stddev),
        Initializer::Orthogonal { gain } => orthogonal(gain, shape, rng),
        Initializer::VarianceScaling { scale, mode, distribution } => {
            scaled(scale, mode, distribution, shape, rng)
        }
        Initializer::GlorotUniform => scaled(1.0, FanMode::FanAvg, Distribution::Uniform, shape, rng),
        Initializer::GlorotNormal => scaled(1.0, FanMode::FanAvg, Distribution::TruncatedNormal, shape, rng),
        Initializer::HeUniform => scaled(2.0, FanMode::FanIn, Distribution::Uniform, shape, rng),
        Initializer::HeNormal => scaled(2.0, FanMode::FanIn, Distribution::TruncatedNormal, shape, rng),
        Initializer::LecunUniform => scaled(1.0, FanMode::FanIn, Distribution::Uniform, shape, rng),
        Initializer::LecunNormal => scaled(1.0, FanMode::FanIn, Distribution::TruncatedNormal, shape, rng),
    }
}

fn each<T: WithDType>(count: usize, mut number: impl FnMut() -> f64) -> Vec<T> {
    (0..count).map(|_| T::from_f64(number())).collect()
}

/// Weights whose variance scales with the fans.
fn scaled<T: WithDType>(
    scale: f64,
    mode: FanMode,
    distribution: Distribution,
    shape: &[usize],
    rng: &mut Rng,
) -> Vec<T> {
    let (fan_in, fan_out) = match shape {
        [window @ .., channels, units] => {
            let window: usize = window.iter().product();
            ((window * channels) as f64, (window * units) as f64)
        }
        _ => (shape.iter().product::<usize>() as f64, shape.iter().product::<usize>() as f64),
    };
    let divisor = match mode {
        FanMode::FanIn => fan_in,
        FanMode::FanOut => fan_out,
        FanMode::FanAvg => (fan_in + fan_out) / 2.0,
    };
    let (count, variance) = (shape.iter().product(), scale / divisor.max(1.0));
    match distribution {
        Distribution::Uniform => {
            let limit = (3.0 * variance).sqrt();
            each(count, || (2.0 * rng.unit() - 1.0) * limit)
        }
        Distribution::UntruncatedNormal => each(count, || rng.normal() * variance.sqrt()),
        Distribution::TruncatedNormal => {
            each(count, || truncated(rng) * variance.sqrt() / TRUNCATED_DEVIATION)
        }
    }
}

/// A standard normal number within two standard deviations.
fn truncated(rng: &mut Rng) -> f64 {
    loop {
        let x = rng.normal();
        // One in twenty is drawn again.
        if x.abs() <= 2.0 {
            return x;
        }
    }
}

/// A matrix with the last dimension as columns, whose rows, or columns if there are fewer, have the
/// length `gain` and are orthogonal to each other.
///
/// Keras takes the orthogonal factor of a normal matrix, with the signs that make the other
/// factor's diagonal positive. Gram-Schmidt, applied twice, gives the same, and can be vectorised.
fn orthogonal<T: WithDType>(gain: f64, shape: &[usize], rng: &mut Rng) -> Vec<T> {
    let columns = shape.last().copied().unwrap_or(1);
    let rows = shape.iter().product::<usize>() / columns.max(1);
    let (few, many) = (rows.min(columns), rows.max(columns));
    // The vectors one after the other, each `many` long.
    let mut vectors = vec![0.0; few * many];
    for at in 0..many {
        (0..few).for_each(|vector| vectors[vector * many + at] = rng.normal());
    }
    for vector in 0..few {
        let (before, rest) = vectors.split_at_mut(vector * many);
        let this = &mut rest[..many];
        for _ in 0..2 {
            for other in before.chunks_exact(many) {
                let share = dot(this, other);
                this.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
            }
        }
        let length = dot(this, this).sqrt();
        this.iter_mut().for_each(|x| *x /= length);
    }
    if rows < columns {
        return vectors.iter().map(|x| T::from_f64(gain * x)).collect();
    }
    (0..rows * columns).map(|at| T::from_f64(gain * vectors[at % columns * many + at / columns])).collect()
}

/// In eight sums side by side, whatever the machine's vectors.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hpo::rng::{Purpose, stream};

    fn drawn(initializer: Initializer, shape: &[usize]) -> Vec<f64> {
        draw(initializer, shape, &mut stream(1, Purpose::Weights, 0, 0))
    }

    /// Holds mean, variance and range of many draws against what they should be.
    fn check(initializer: Initializer, shape: &[usize], mean: f64, variance: f64, bound: f64) {
        let weights = drawn(initializer, shape);
        let n = weights.len() as f64;
        let found_mean = weights.iter().sum::<f64>() / n;
        let found = weights.iter().map(|w| (w - found_mean) * (w - found_mean)).sum::<f64>() / n;
        assert!(
            (found_mean - mean).abs() < 4.0 * (variance / n).sqrt(),
            "{initializer:?}: mean {found_mean}"
        );
        assert!((found / variance - 1.0).abs() < 0.02, "{initializer:?}: variance {found}, not {variance}");
        let largest = weights.iter().fold(0.0, |a: f64, b| a.max((b - mean).abs()));
        assert!(
            largest <= bound && (bound.is_infinite() || largest > 0.99 * bound),
            "{initializer:?}: {largest} of {bound}"
        );
    }

    #[test]
    fn weights_have_the_variance_and_the_bounds_of_keras() {
        let two = 2.0 / TRUNCATED_DEVIATION;
        for (kernel, fan_in, fan_out) in [(vec![300, 200], 300.0, 200.0), (vec![3, 5, 20, 80], 300.0, 1200.0)]
        {
            let glorot: f64 = 2.0 / (fan_in + fan_out);
            let (he, lecun): (f64, f64) = (2.0 / fan_in, 1.0 / fan_in);
            check(Initializer::GlorotUniform, &kernel, 0.0, glorot, (3.0 * glorot).sqrt());
            check(Initializer::HeUniform, &kernel, 0.0, he, (3.0 * he).sqrt());
            check(Initializer::LecunUniform, &kernel, 0.0, lecun, (3.0 * lecun).sqrt());
            check(Initializer::GlorotNormal, &kernel, 0.0, glorot, two * glorot.sqrt());
            check(Initializer::HeNormal, &kernel, 0.0, he, two * he.sqrt());
            check(Initializer::LecunNormal, &kernel, 0.0, lecun, two * lecun.sqrt());
            let scaling =
                |mode, distribution| Initializer::VarianceScaling { scale: 3.0, mode, distribution };
            check(
                scaling(FanMode::FanOut, Distribution::UntruncatedNormal),
                &kernel,
                0.0,
                3.0 / fan_out,
                f64::INFINITY,
            );
            check(
                scaling(FanMode::FanIn, Distribution::Uniform),
                &kernel,
                0.0,
                3.0 / fan_in,
                (9.0f64 / fan_in).sqrt(),
            );
            let average: f64 = 6.0 / (fan_in + fan_out);
            check(
                scaling(FanMode::FanAvg, Distribution::TruncatedNormal),
                &kernel,
                0.0,
                average,
                two * average.sqrt(),
            );
        }
        check(Initializer::GlorotUniform, &[50_000], 0.0, 1.0 / 50_000.0, (3.0f64 / 50_000.0).sqrt());
        check(Initializer::RandomNormal { mean: 0.5, stddev: 0.1 }, &[300, 200], 0.5, 0.01, f64::INFINITY);
        check(Initializer::RandomUniform { minval: -0.1, maxval: 0.3 }, &[300, 200], 0.1, 0.16 / 12.0, 0.2);
        let truncated = 0.04 * TRUNCATED_DEVIATION * TRUNCATED_DEVIATION;
        check(Initializer::TruncatedNormal { mean: -1.0, stddev: 0.2 }, &[300, 200], -1.0, truncated, 0.4);
        assert_eq!(drawn(Initializer::Constant { value: 0.25 }, &[2, 2]), [0.25; 4]);
        assert_eq!(
            (drawn(Initializer::Zeros, &[2]), drawn(Initializer::Ones, &[2])),
            (vec![0.0; 2], vec![1.0; 2])
        );
    }

    #[test]
    fn orthogonal_vectors_are_so_in_either_direction() {
        for shape in [vec![5, 9], vec![9, 5], vec![3, 2, 4, 7], vec![4, 4], vec![6]] {
            let weights = drawn(Initializer::Orthogonal { gain: 2.0 }, &shape);
            let columns = shape[shape.len() - 1];
            let rows = weights.len() / columns;
            let vector = |index: usize| -> Vec<f64> {
                if rows < columns {
                    weights[index * columns..][..columns].to_vec()
                } else {
                    (0..rows).map(|row| weights[row * columns + index]).collect()
                }
            };
            for a in 0..rows.min(columns) {
                for b in 0..rows.min(columns) {
                    let product: f64 = vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum();
                    assert!(
                        (product - if a == b { 4.0 } else { 0.0 }).abs() < 1e-12,
                        "{shape:?} {a} {b}: {product}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_forget_gate_of_an_lstm_starts_open() {
        let document = serde_json::json!({"layer": "LSTM", "units": 2, "bias_initializer": {"name": "constant", "value": 0.5}});
        let layer = hpo::network::Layer::from_document(&document).unwrap();
        let weights = layer.weights(&[5, 3]);
        assert_eq!(
            start::<f64>(&weights[2], &mut stream(1, Purpose::Weights, 0, 0)),
            [0.5, 0.5, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
        );
    }
}
