//! Normalisation over the batch and over the last dimension: mean 0 and variance 1 (the biased one,
//! as in Keras), then `gamma x + beta`.

use candle_core::{Result, Tensor};

use super::operation::{Custom, Operation};
use super::real::Real;
use super::{values, vectorised, with_real};

/// Mean 0 and variance 1 over the last dimension of `x (…, width)`, then `gamma x + beta`, on the
/// CPU; `gamma (width)`, `beta (width)`.
pub(crate) fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op3(gamma, beta, Custom(LayerNorm(epsilon)))
}

/// Mean 0 and variance 1 over all but the last dimension of `x (…, channels)`, then `gamma x +
/// beta`, on the CPU; with the batch's mean and variance, each `(channels)`, through which no
/// gradient flows.
pub(crate) fn batch_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f64) -> Result<[Tensor; 3]> {
    let x = x.contiguous()?;
    let statistics = {
        let numbers = x.storage_and_layout();
        with_real!(x, T => Statistics::of::<T>(values(&numbers)?, gamma.elem_count()))
    };
    let tensor =
        |numbers: &Vec<f64>| Tensor::from_slice(numbers, numbers.len(), x.device())?.to_dtype(x.dtype());
    let (mean, variance) = (tensor(&statistics.mean)?, tensor(&statistics.variance)?);
    Ok([x.apply_op3(gamma, beta, Custom(BatchNorm { epsilon, statistics }))?, mean, variance])
}

struct LayerNorm(f64);

/// One row: its mean and `1 / sqrt(variance + epsilon)`.
#[inline(always)]
fn moments<T: Real>(row: &[T], epsilon: T) -> (T, T) {
    let count = T::of(row.len() as f64);
    let mean = row.iter().fold(T::ZERO, |sum, x| sum + *x) / count;
    let variance = row.iter().fold(T::ZERO, |sum, x| sum + (*x - mean) * (*x - mean)) / count;
    (mean, T::ONE / Real::sqrt(variance + epsilon))
}

impl Operation<3> for LayerNorm {
    fn forward<T: Real>(&self, [x, gamma, beta]: [&[T]; 3]) -> Vec<T> {
        let mut y = x.to_vec();
        for row in y.chunks_exact_mut(gamma.len()) {
            let (mean, scale) = moments(row, T::of(self.0));
            row.iter_mut()
                .zip(gamma)
                .zip(beta)
                .for_each(|((x, gamma), beta)| *x = (*x - mean) * scale * *gamma + *beta);
        }
        y
    }

    fn backward<T: Real>(
        &self,
        [x, gamma, _]: [&[T]; 3],
        _y: &[T],
        gradient: &[T],
        _: [bool; 3],
    ) -> [Option<Vec<T>>; 3] {
        let width = gamma.len();
        let (mut of_gamma, mut of_beta) = (vec![T::ZERO; width], vec![T::ZERO; width]);
        let mut of_x = gradient.to_vec();
        let count = T::of(width as f64);
        for (g, x) in of_x.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, scale) = moments(x, T::of(self.0));
            let (mut sum, mut dot) = (T::ZERO, T::ZERO);
            for i in 0..width {
                let normal = (x[i] - mean) * scale;
                of_gamma[i] += g[i] * normal;
                of_beta[i] += g[i];
                g[i] *= gamma[i];
                sum += g[i];
                dot += g[i] * normal;
            }
            let (sum, dot) = (sum / count, dot / count);
            g.iter_mut().zip(x).for_each(|(g, x)| *g = (*g - sum - (*x - mean) * scale * dot) * scale);
        }
        [Some(of_x), Some(of_gamma), Some(of_beta)]
    }
}

struct BatchNorm {
    epsilon: f64,
    statistics: Statistics,
}

/// Statistics of each channel of a batch.
struct Statistics {
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Statistics {
    /// In double precision, in the order of the rows.
    fn of<T: Real>(x: &[T], channels: usize) -> Statistics {
        let mut statistics = Statistics { mean: vec![0.0; channels], variance: vec![0.0; channels] };
        add_up(x, &mut statistics);
        let count = (x.len() / channels) as f64;
        statistics.mean.iter_mut().for_each(|sum| *sum /= count);
        add_up_squares(x, &mut statistics);
        statistics.variance.iter_mut().for_each(|sum| *sum /= count);
        statistics
    }

    /// The mean and `1 / sqrt(variance + epsilon)` of each channel.
    fn scales<T: Real>(&self, epsilon: f64) -> (Vec<T>, Vec<T>) {
        let scale = |variance: &f64| T::of(1.0 / (variance + epsilon).sqrt());
        (self.mean.iter().map(|mean| T::of(*mean)).collect(), self.variance.iter().map(scale).collect())
    }
}

vectorised! {
    fn add_up<T: Real>(x: &[T], statistics: &mut Statistics) {
        for row in x.chunks_exact(statistics.mean.len()) {
            statistics.mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.to_f64());
        }
    }
}

vectorised! {
    fn add_up_squares<T: Real>(x: &[T], statistics: &mut Statistics) {
        let Statistics { mean, variance } = statistics;
        for row in x.chunks_exact(mean.len()) {
            for ((sum, x), mean) in variance.iter_mut().zip(row).zip(mean.iter()) {
                let distance = x.to_f64() - mean;
                *sum += distance * distance;
            }
        }
    }
}

vectorised! {
    /// `(x - mean) scale gamma + beta`.
    fn normalize<T: Real>(y: &mut [T], mean: &[T], scale: &[T], gamma: &[T], beta: &[T]) {
        for row in y.chunks_exact_mut(mean.len()) {
            for i in 0..mean.len() {
                row[i] = (row[i] - mean[i]) * scale[i] * gamma[i] + beta[i];
            }
        }
    }
}

vectorised! {
    /// Adds the gradients of gamma and beta, in double precision.
    fn add_gradients<T: Real>(x: &[T], gradient: &[T], mean: &[T], scale: &[T], of_gamma: &mut [f64], of_beta: &mut [f64]) {
        for (x, g) in x.chunks_exact(mean.len()).zip(gradient.chunks_exact(mean.len())) {
            for i in 0..mean.len() {
                of_gamma[i] += (g[i] * (x[i] - mean[i]) * scale[i]).to_f64();
                of_beta[i] += g[i].to_f64();
            }
        }
    }
}

vectorised! {
    /// Turns the gradient of the result into that of the input; `of_gamma` and `of_beta` are means
    /// over the rows.
    fn input_gradient<T: Real>(x: &[T], gradient: &mut [T], mean: &[T], scale: &[T], gamma: &[T], of_gamma: &[T], of_beta: &[T]) {
        for (x, g) in x.chunks_exact(mean.len()).zip(gradient.chunks_exact_mut(mean.len())) {
            for i in 0..mean.len() {
                g[i] = (g[i] - of_beta[i] - (x[i] - mean[i]) * scale[i] * of_gamma[i]) * scale[i] * gamma[i];
            }
        }
    }
}

impl Operation<3> for BatchNorm {
    fn forward<T: Real>(&self, [x, gamma, beta]: [&[T]; 3]) -> Vec<T> {
        let (mean, scale) = self.statistics.scales::<T>(self.epsilon);
        let mut y = x.to_vec();
        normalize(&mut y, &mean, &scale, gamma, beta);
        y
    }

    fn backward<T: Real>(
        &self,
        [x, gamma, _]: [&[T]; 3],
        _y: &[T],
        gradient: &[T],
        wanted: [bool; 3],
    ) -> [Option<Vec<T>>; 3] {
        let channels = gamma.len();
        let (mean, scale) = self.statistics.scales::<T>(self.epsilon);
        let (mut of_gamma, mut of_beta) = (vec![0.0; channels], vec![0.0; channels]);
        add_gradients(x, gradient, &mean, &scale, &mut of_gamma, &mut of_beta);
        let of_x = wanted[0].then(|| {
            let rows = (x.len() / channels) as f64;
            let means = |sums: &[f64]| sums.iter().map(|sum| T::of(sum / rows)).collect::<Vec<T>>();
            let mut of_x = gradient.to_vec();
            input_gradient(x, &mut of_x, &mean, &scale, gamma, &means(&of_gamma), &means(&of_beta));
            of_x
        });
        let [of_gamma, of_beta] = [of_gamma, of_beta].map(|sums| Some(sums.into_iter().map(T::of).collect()));
        [of_x, of_gamma, of_beta]
    }
}
