//! Initial weights, as Keras draws them, from streams of our own.

use hpo::network::Initializer;
use hpo::rng::Rng;

/// The standard deviation of a standard normal that was truncated at 2, by which Keras divides.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// `shape.product()` weights. Fans are Keras's: of a kernel, the last two dimensions times the window; of a bias, its length.
pub(crate) fn draw(initializer: Initializer, shape: &[usize], rng: &mut Rng) -> Vec<f64> {
    let count = shape.iter().product();
    let (fan_in, fan_out) = match shape {
        [window @ .., channels, units] => {
            let window: usize = window.iter().product();
            ((window * channels) as f64, (window * units) as f64)
        }
        _ => (count as f64, count as f64),
    };
    let uniform = |rng: &mut Rng, variance: f64| {
        let limit = (3.0 * variance).sqrt();
        (0..count).map(|_| (2.0 * rng.unit() - 1.0) * limit).collect()
    };
    let normal = |rng: &mut Rng, variance: f64| (0..count).map(|_| truncated(rng) * variance.sqrt() / TRUNCATED_DEVIATION).collect();
    match initializer {
        Initializer::Zeros => vec![0.0; count],
        Initializer::Ones => vec![1.0; count],
        Initializer::GlorotUniform => uniform(rng, 2.0 / (fan_in + fan_out)),
        Initializer::GlorotNormal => normal(rng, 2.0 / (fan_in + fan_out)),
        Initializer::HeUniform => uniform(rng, 2.0 / fan_in),
        Initializer::HeNormal => normal(rng, 2.0 / fan_in),
        Initializer::LecunUniform => uniform(rng, 1.0 / fan_in),
        Initializer::LecunNormal => normal(rng, 1.0 / fan_in),
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

#[cfg(test)]
mod tests {
    use super::*;
    use hpo::rng::{Purpose, stream};

    #[test]
    fn weights_have_the_variance_and_the_bounds_of_keras() {
        let check = |initializer, shape: &[usize], variance: f64, bound: f64| {
            let weights = draw(initializer, shape, &mut stream(1, Purpose::Weights, 0, 0));
            let n = weights.len() as f64;
            let mean = weights.iter().sum::<f64>() / n;
            let found = weights.iter().map(|w| (w - mean) * (w - mean)).sum::<f64>() / n;
            assert!(mean.abs() < 4.0 * (variance / n).sqrt(), "{initializer:?}: mean {mean}");
            assert!((found / variance - 1.0).abs() < 0.02, "{initializer:?}: variance {found}, not {variance}");
            let largest = weights.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            assert!(largest <= bound && largest > 0.99 * bound, "{initializer:?}: {largest} of {bound}");
        };
        let two = 2.0 / TRUNCATED_DEVIATION;
        for (kernel, fan_in, fan_out) in [(vec![300, 200], 300.0, 200.0), (vec![3, 5, 20, 80], 300.0, 1200.0)] {
            let glorot: f64 = 2.0 / (fan_in + fan_out);
            let (he, lecun): (f64, f64) = (2.0 / fan_in, 1.0 / fan_in);
            check(Initializer::GlorotUniform, &kernel, glorot, (3.0 * glorot).sqrt());
            check(Initializer::HeUniform, &kernel, he, (3.0 * he).sqrt());
            check(Initializer::LecunUniform, &kernel, lecun, (3.0 * lecun).sqrt());
            check(Initializer::GlorotNormal, &kernel, glorot, two * glorot.sqrt());
            check(Initializer::HeNormal, &kernel, he, two * he.sqrt());
            check(Initializer::LecunNormal, &kernel, lecun, two * lecun.sqrt());
        }
        check(Initializer::GlorotUniform, &[50_000], 1.0 / 50_000.0, (3.0f64 / 50_000.0).sqrt());
    }
}
