//! Activation functions, in place, and their gradients.
//!
//! All but two have a gradient that follows from the result alone, so that their layers keep nothing
//! more; `gelu` and `silu` need the input ([`Activation::needs_input`]).

use candle_core::{Result, Tensor};
use hpo::network::Activation;

use super::operation::{Custom, Operation};
use super::real::Real;
use super::vectorised;

/// The slope of Keras's `leaky_relu` below 0.
pub(crate) const LEAKY_SLOPE: f64 = 0.2;
/// `selu`'s alpha and scale, as Keras has them (Klambauer et al. 2017, arXiv 1706.02515).
pub(crate) const SELU: [f64; 2] = [1.673_263_242_354_377_2, 1.050_700_987_355_480_5];

/// The activation of a tensor on the CPU; softmax and log_softmax go over the last dimension.
pub(crate) fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(1);
    x.contiguous()?.apply_op1(Custom(Rows { activation, width }))
}

/// `x` above 0, `slope x` below, on the CPU.
pub(crate) fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Custom(Leaky(slope)))
}

vectorised! {
    /// Applies the activation to rows of `width` numbers.
    pub(crate) fn activate<T: Real>(activation: Activation, y: &mut [T], width: usize) {
        let (zero, one) = (T::ZERO, T::ONE);
        match activation {
            Activation::Linear => {}
            // NaN stays NaN: a divergence must not vanish here.
            Activation::Relu => y.iter_mut().for_each(|y| *y = if *y < zero { zero } else { *y }),
            Activation::LeakyRelu => y.iter_mut().for_each(|y| *y = if *y < zero { *y * T::of(LEAKY_SLOPE) } else { *y }),
            Activation::Relu6 => y.iter_mut().for_each(|y| *y = clamped(*y, T::of(6.0))),
            Activation::Elu => y.iter_mut().for_each(|y| *y = if *y < zero { Real::exp_m1(*y) } else { *y }),
            Activation::Selu => {
                let [alpha, scale] = SELU.map(T::of);
                y.iter_mut().for_each(|y| *y = if *y < zero { scale * alpha * Real::exp_m1(*y) } else { scale * *y });
            }
            Activation::Gelu => y.iter_mut().for_each(|y| *y *= normal_below(*y)),
            Activation::Silu => y.iter_mut().for_each(|y| *y /= one + Real::exp(-*y)),
            // ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), which never overflows.
            Activation::Softplus => y.iter_mut().for_each(|y| *y = if *y < zero { zero } else { *y } + Real::ln_1p(Real::exp(-absolute(*y)))),
            Activation::Softsign => y.iter_mut().for_each(|y| *y /= one + absolute(*y)),
            Activation::Sigmoid => y.iter_mut().for_each(|y| *y = one / (one + Real::exp(-*y))),
            Activation::HardSigmoid => y.iter_mut().for_each(|y| *y = clamped(*y + T::of(3.0), T::of(6.0)) / T::of(6.0)),
            Activation::Tanh => y.iter_mut().for_each(|y| *y = Real::tanh(*y)),
            Activation::Softmax => y.chunks_exact_mut(width).for_each(softmax),
            Activation::LogSoftmax => y.chunks_exact_mut(width).for_each(log_softmax),
            Activation::Exponential => y.iter_mut().for_each(|y| *y = Real::exp(*y)),
        }
    }
}

vectorised! {
    /// Turns the gradient of the result `y` into that of the input, in rows of `width` numbers. `x`
    /// is the input if [`Activation::needs_input`]; otherwise it may be anything.
    pub(crate) fn activation_gradient<T: Real>(activation: Activation, x: &[T], y: &[T], gradient: &mut [T], width: usize) {
        let (zero, one) = (T::ZERO, T::ONE);
        let inputs = || x.iter();
        let both = gradient.iter_mut().zip(y);
        match activation {
            Activation::Linear => {}
            Activation::Relu => both.for_each(|(g, y)| *g = if *y > zero { *g } else { zero }),
            Activation::LeakyRelu => both.for_each(|(g, y)| *g = if *y > zero { *g } else { *g * T::of(LEAKY_SLOPE) }),
            Activation::Relu6 => both.for_each(|(g, y)| *g = if *y > zero && *y < T::of(6.0) { *g } else { zero }),
            Activation::Elu => both.for_each(|(g, y)| *g = if *y < zero { *g * (*y + one) } else { *g }),
            Activation::Selu => {
                let [alpha, scale] = SELU.map(T::of);
                both.for_each(|(g, y)| *g = if *y < zero { *g * (*y + scale * alpha) } else { *g * scale });
            }
            Activation::Gelu => gradient.iter_mut().zip(inputs()).for_each(|(g, x)| {
                let density = T::of(0.398_942_280_401_432_7) * Real::exp(*x * *x * T::of(-0.5));
                *g *= normal_below(*x) + *x * density;
            }),
            Activation::Silu => gradient.iter_mut().zip(inputs()).for_each(|(g, x)| {
                let sigmoid = one / (one + Real::exp(-*x));
                *g *= sigmoid * (one + *x * (one - sigmoid));
            }),
            Activation::Softplus => both.for_each(|(g, y)| *g *= -Real::exp_m1(-*y)),
            // A large input cannot be told from the result.
            Activation::Softsign => gradient.iter_mut().zip(inputs()).for_each(|(g, x)| {
                let all = one + absolute(*x);
                *g /= all * all;
            }),
            Activation::Sigmoid => both.for_each(|(g, y)| *g *= *y * (one - *y)),
            Activation::HardSigmoid => both.for_each(|(g, y)| *g = if *y > zero && *y < one { *g / T::of(6.0) } else { zero }),
            Activation::Tanh => both.for_each(|(g, y)| *g *= one - *y * *y),
            Activation::Softmax => {
                for (g, y) in gradient.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
                    let dot = y.iter().zip(g.iter()).fold(zero, |sum, (y, g)| sum + *y * *g);
                    g.iter_mut().zip(y).for_each(|(g, y)| *g = *y * (*g - dot));
                }
            }
            Activation::LogSoftmax => {
                for (g, y) in gradient.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
                    let sum = g.iter().fold(zero, |sum, g| sum + *g);
                    g.iter_mut().zip(y).for_each(|(g, y)| *g -= Real::exp(*y) * sum);
                }
            }
            Activation::Exponential => both.for_each(|(g, y)| *g *= *y),
        }
    }
}

/// Makes a row of logits probabilities. The largest is subtracted first, so that nothing overflows.
#[inline(always)]
pub(crate) fn softmax<T: Real>(row: &mut [T]) {
    let largest = largest(row);
    row.iter_mut().for_each(|y| *y = Real::exp(*y - largest));
    let sum = row.iter().fold(T::ZERO, |sum, y| sum + *y);
    row.iter_mut().for_each(|y| *y /= sum);
}

/// The logarithm of [`softmax`], without going through it.
#[inline(always)]
fn log_softmax<T: Real>(row: &mut [T]) {
    let largest = largest(row);
    let sum = row.iter().fold(T::ZERO, |sum, y| sum + Real::exp(*y - largest));
    let norm = largest + Real::ln(sum);
    row.iter_mut().for_each(|y| *y -= norm);
}

#[inline(always)]
fn largest<T: Real>(row: &[T]) -> T {
    row.iter().fold(row[0], |a, b| if *b > a { *b } else { a })
}

#[inline(always)]
fn absolute<T: Real>(x: T) -> T {
    if x < T::ZERO { -x } else { x }
}

/// `min(max(x, 0), most)`; NaN stays NaN.
#[inline(always)]
fn clamped<T: Real>(x: T, most: T) -> T {
    if x < T::ZERO {
        T::ZERO
    } else if x > most {
        most
    } else {
        x
    }
}

/// The normal distribution's mass below `x`.
#[inline(always)]
fn normal_below<T: Real>(x: T) -> T {
    T::of(0.5) * (T::ONE + Real::erf(x * T::of(std::f64::consts::FRAC_1_SQRT_2)))
}

/// An activation of rows of `width` numbers.
struct Rows {
    activation: Activation,
    width: usize,
}

impl Operation<1> for Rows {
    fn forward<T: Real>(&self, [x]: [&[T]; 1]) -> Vec<T> {
        let mut y = x.to_vec();
        activate(self.activation, &mut y, self.width);
        y
    }

    fn backward<T: Real>(
        &self,
        [x]: [&[T]; 1],
        y: &[T],
        gradient: &[T],
        _: [bool; 1],
    ) -> [Option<Vec<T>>; 1] {
        let mut of_x = gradient.to_vec();
        activation_gradient(self.activation, x, y, &mut of_x, self.width);
        [Some(of_x)]
    }
}

struct Leaky(f64);

impl Operation<1> for Leaky {
    fn forward<T: Real>(&self, [x]: [&[T]; 1]) -> Vec<T> {
        let slope = T::of(self.0);
        x.iter().map(|x| if *x < T::ZERO { *x * slope } else { *x }).collect()
    }

    fn backward<T: Real>(
        &self,
        [x]: [&[T]; 1],
        _y: &[T],
        gradient: &[T],
        _: [bool; 1],
    ) -> [Option<Vec<T>>; 1] {
        let slope = T::of(self.0);
        [Some(gradient.iter().zip(x).map(|(g, x)| if *x > T::ZERO { *g } else { *g * slope }).collect())]
    }
}
