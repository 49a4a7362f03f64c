//! The optimisers' steps: one pass over weight, gradient and slots, in place. Regulariser, clipping
//! and decay, which come before a rule, are in the same pass; a pass without any of them has a loop of
//! its own, and so has one that only decays (adamw).
//!
//! The formulas are those of Keras's optimisers (<https://keras.io/api/optimizers/>), in their order
//! of operations; what is the same for all numbers of a step is computed once, in `f64`.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, bail};

use super::real::Real;
use super::{numbers_mut, slice, slice_mut, vectorised, with_real};

/// The rule for each number of a weight: `w` is the weight, `g` its gradient, the other letters are
/// its slots in their order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Update {
    /// `w -= g rate`.
    Sgd { rate: f64 },
    /// `m = m momentum - g rate`, `w += m`; with nesterov `w += m momentum - g rate` (Sutskever et
    /// al. 2013).
    Momentum { rate: f64, momentum: f64, nesterov: bool },
    /// `v = rho v + (1 - rho) g²`, `w -= rate g / sqrt(v + epsilon)`. With a momentum `m = momentum
    /// m + ` that quotient, `w -= m`. Centered, there is `a = rho a + (1 - rho) g` as the last
    /// slot, and `v - a²` for `v` in the quotient.
    Rmsprop { rate: f64, rho: f64, momentum: f64, epsilon: f64, centered: bool },
    /// `m += (g - m)(1 - beta_1)`, `v += (g² - v)(1 - beta_2)`, `w -= m alpha / (sqrt(v) +
    /// epsilon)`, where alpha is `learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t)`. With amsgrad
    /// the last slot is the largest `v` so far and stands for it.
    Adam { alpha: f64, beta_1: f64, beta_2: f64, epsilon: f64, amsgrad: bool },
    /// `m` and `v` as Adam's, `w -= (m of_momentum + g of_gradient) rate / (sqrt(v of_velocity) +
    /// epsilon)`.
    Nadam {
        rate: f64,
        of_momentum: f64,
        of_gradient: f64,
        of_velocity: f64,
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
    },
    /// `m` as Adam's, `u = max(beta_2 u, |g|)`, `w -= rate m / (correction (u + epsilon))`, where
    /// the correction is `1 - beta_1^t`.
    Adamax { rate: f64, correction: f64, beta_1: f64, beta_2: f64, epsilon: f64 },
    /// `a += g²`, `w -= rate g / sqrt(a + epsilon)`.
    Adagrad { rate: f64, epsilon: f64 },
    /// `a = rho a + (1 - rho) g²`, `delta = sqrt(d + epsilon) g / sqrt(a + epsilon)`, `d = rho d +
    /// (1 - rho) delta²`, `w -= rate delta`.
    Adadelta { rate: f64, rho: f64, epsilon: f64 },
    /// `w -= rate sign(m beta_1 + g (1 - beta_1))`, `m = m beta_2 + g (1 - beta_2)`.
    Lion { rate: f64, beta_1: f64, beta_2: f64 },
}

/// What comes before the rule, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Before<T> {
    /// The regulariser's: `g += l1 sign(w)`.
    pub(crate) l1: T,
    /// The regulariser's: `g += 2 l2 w`; this is twice l2.
    pub(crate) twice_l2: T,
    /// A norm is clipped: `g *= factor`.
    pub(crate) factor: T,
    /// Values are clipped: `-bound <= g <= bound`.
    pub(crate) bound: T,
    /// The weight decays: `w -= w decay rate`.
    pub(crate) decay: T,
    /// The learning rate.
    pub(crate) rate: T,
}

/// Nothing happens.
pub(crate) const NOTHING: Before<f64> =
    Before { l1: 0.0, twice_l2: 0.0, factor: 1.0, bound: f64::INFINITY, decay: 0.0, rate: 0.0 };

impl Before<f64> {
    pub(super) fn cast<T: Real>(self) -> Before<T> {
        let of = T::of;
        let Before { l1, twice_l2, factor, bound, decay, rate } = self;
        Before {
            l1: of(l1),
            twice_l2: of(twice_l2),
            factor: of(factor),
            bound: of(bound),
            decay: of(decay),
            rate: of(rate),
        }
    }
}

impl<T: Real> Before<T> {
    /// Whether the rule sees the gradient as it is.
    fn leaves_gradient(&self) -> bool {
        self.l1 == T::ZERO
            && self.twice_l2 == T::ZERO
            && self.factor == T::ONE
            && self.bound == T::of(f64::INFINITY)
    }

    #[inline(always)]
    fn decayed(&self, w: T) -> T {
        w - w * self.decay * self.rate
    }

    /// The gradient with the regulariser's.
    #[inline(always)]
    pub(super) fn regularized(&self, w: T, g: T) -> T {
        g + self.l1 * sign(w) + self.twice_l2 * w
    }

    /// NaN stays NaN: a divergence must not vanish here.
    #[inline(always)]
    fn clipped(&self, g: T) -> T {
        let g = g * self.factor;
        if g > self.bound {
            self.bound
        } else if g < -self.bound {
            -self.bound
        } else {
            g
        }
    }
}

/// A step of one weight on the CPU, with its slots: candle mutates only the weight, so they live in
/// the operation.
pub(crate) struct Step<'a> {
    pub(crate) update: Update,
    pub(crate) before: Before<f64>,
    /// Each as long as the weight; slots that the update does not need may follow.
    pub(crate) slots: &'a RefCell<Vec<CpuStorage>>,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "step"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        of_gradient: &Layout,
    ) -> Result<()> {
        let slots = &mut *self.slots.borrow_mut();
        with_real!(weight, T => apply::<T>(self.update, self.before.cast(), slice_mut(weight, layout)?, slice(gradient, of_gradient)?, slots))
    }
}

fn apply<T: Real>(
    update: Update,
    before: Before<T>,
    w: &mut [T],
    g: &[T],
    slots: &mut [CpuStorage],
) -> Result<()> {
    let mut slots = slots.iter_mut();
    let mut slot = || match slots.next().map(numbers_mut::<T>) {
        Some(Ok(slot)) if slot.len() == g.len() => Ok(slot),
        Some(Err(why)) => Err(why),
        _ => bail!("an optimiser keeps a number for each of a weight"),
    };
    let of = T::of;
    match update {
        Update::Sgd { rate } => sgd(w, g, before, of(rate)),
        Update::Momentum { rate, momentum, nesterov: false } => {
            with_momentum(w, g, slot()?, before, of(rate), of(momentum))
        }
        Update::Momentum { rate, momentum, nesterov: true } => {
            nesterov(w, g, slot()?, before, of(rate), of(momentum))
        }
        Update::Rmsprop { rate, rho, momentum, epsilon, centered } => {
            let constants = [rate, rho, 1.0 - rho, epsilon, momentum].map(of);
            match (momentum != 0.0, centered) {
                (false, false) => rmsprop(w, g, slot()?, before, constants),
                (true, false) => rmsprop_with_momentum(w, g, slot()?, slot()?, before, constants),
                (false, true) => rmsprop_centered(w, g, slot()?, slot()?, before, constants),
                (true, true) => {
                    rmsprop_centered_with_momentum(w, g, slot()?, slot()?, slot()?, before, constants)
                }
            }
        }
        Update::Adam { alpha, beta_1, beta_2, epsilon, amsgrad } => {
            let constants = [alpha, 1.0 - beta_1, 1.0 - beta_2, epsilon].map(of);
            match amsgrad {
                false => adam(w, g, slot()?, slot()?, before, constants),
                true => amsgrad_(w, g, slot()?, slot()?, slot()?, before, constants),
            }
        }
        Update::Nadam { rate, of_momentum, of_gradient, of_velocity, beta_1, beta_2, epsilon } => {
            let constants =
                [rate, of_momentum, of_gradient, of_velocity, 1.0 - beta_1, 1.0 - beta_2, epsilon].map(of);
            nadam(w, g, slot()?, slot()?, before, constants)
        }
        Update::Adamax { rate, correction, beta_1, beta_2, epsilon } => {
            adamax(w, g, slot()?, slot()?, before, [rate, correction, 1.0 - beta_1, beta_2, epsilon].map(of))
        }
        Update::Adagrad { rate, epsilon } => adagrad(w, g, slot()?, before, of(rate), of(epsilon)),
        Update::Adadelta { rate, rho, epsilon } => {
            adadelta(w, g, slot()?, slot()?, before, [rate, rho, 1.0 - rho, epsilon].map(of))
        }
        Update::Lion { rate, beta_1, beta_2 } => {
            lion(w, g, slot()?, before, [rate, beta_1, 1.0 - beta_1, beta_2, 1.0 - beta_2].map(of))
        }
    }
    Ok(())
}

/// Runs a rule on each number of a weight, with its gradient and its slots.
#[inline(always)]
fn each<T: Real, S>(
    weight: &mut [T],
    gradient: &[T],
    slots: impl Iterator<Item = S>,
    before: Before<T>,
    rule: impl Fn(&mut T, T, S) + Copy,
) {
    let all = weight.iter_mut().zip(gradient).zip(slots);
    match (before.leaves_gradient(), before.decay == T::ZERO) {
        (true, true) => all.for_each(|((w, g), slots)| rule(w, *g, slots)),
        (true, false) => all.for_each(|((w, g), slots)| {
            *w = before.decayed(*w);
            rule(w, *g, slots);
        }),
        (false, _) => all.for_each(|((w, g), slots)| {
            let g = before.clipped(before.regularized(*w, *g));
            *w = before.decayed(*w);
            rule(w, g, slots);
        }),
    }
}

/// -1, 0 or 1; NaN of NaN.
#[inline(always)]
fn sign<T: Real>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        x
    }
}

#[inline(always)]
pub(super) fn abs<T: Real>(x: T) -> T {
    if x < T::ZERO { -x } else { x }
}

/// Flushes subnormal numbers to zero, in slots that are divided by, or whose signs are used. Other
/// slots use [`Real::kept`], which flushes more.
#[inline(always)]
fn normal<T: Real>(x: T) -> T {
    if x < T::LEAST && x > -T::LEAST { T::ZERO } else { x }
}

vectorised! {
    fn sgd<T: Real>(w: &mut [T], g: &[T], before: Before<T>, rate: T) {
        each(w, g, std::iter::repeat(()), before, |w, g, ()| *w -= g * rate);
    }
}

vectorised! {
    fn with_momentum<T: Real>(w: &mut [T], g: &[T], m: &mut [T], before: Before<T>, rate: T, momentum: T) {
        each(w, g, m.iter_mut(), before, |w, g, m| {
            *m = (*m * momentum - g * rate).kept();
            *w += *m;
        });
    }
}

vectorised! {
    fn nesterov<T: Real>(w: &mut [T], g: &[T], m: &mut [T], before: Before<T>, rate: T, momentum: T) {
        each(w, g, m.iter_mut(), before, |w, g, m| {
            *m = (*m * momentum - g * rate).kept();
            *w += *m * momentum - g * rate;
        });
    }
}

vectorised! {
    fn rmsprop<T: Real>(w: &mut [T], g: &[T], v: &mut [T], before: Before<T>, constants: [T; 5]) {
        let [rate, rho, rest, epsilon, _] = constants;
        each(w, g, v.iter_mut(), before, |w, g, v| {
            *v = normal(rho * *v + rest * (g * g));
            *w -= rate * g / Real::sqrt(*v + epsilon);
        });
    }
}

vectorised! {
    fn rmsprop_with_momentum<T: Real>(w: &mut [T], g: &[T], v: &mut [T], m: &mut [T], before: Before<T>, constants: [T; 5]) {
        let [rate, rho, rest, epsilon, momentum] = constants;
        each(w, g, v.iter_mut().zip(m), before, |w, g, (v, m)| {
            *v = normal(rho * *v + rest * (g * g));
            *m = (momentum * *m + rate * g / Real::sqrt(*v + epsilon)).kept();
            *w -= *m;
        });
    }
}

vectorised! {
    fn rmsprop_centered<T: Real>(w: &mut [T], g: &[T], v: &mut [T], a: &mut [T], before: Before<T>, constants: [T; 5]) {
        let [rate, rho, rest, epsilon, _] = constants;
        each(w, g, v.iter_mut().zip(a), before, |w, g, (v, a)| {
            *v = normal(rho * *v + rest * (g * g));
            *a = (rho * *a + rest * g).kept();
            *w -= rate * g / Real::sqrt(*v - *a * *a + epsilon);
        });
    }
}

vectorised! {
    fn rmsprop_centered_with_momentum<T: Real>(
        w: &mut [T], g: &[T], v: &mut [T], m: &mut [T], a: &mut [T], before: Before<T>, constants: [T; 5],
    ) {
        let [rate, rho, rest, epsilon, momentum] = constants;
        each(w, g, v.iter_mut().zip(m).zip(a), before, |w, g, ((v, m), a)| {
            *v = normal(rho * *v + rest * (g * g));
            *a = (rho * *a + rest * g).kept();
            *m = (momentum * *m + rate * g / Real::sqrt(*v - *a * *a + epsilon)).kept();
            *w -= *m;
        });
    }
}

vectorised! {
    fn adam<T: Real>(w: &mut [T], g: &[T], m: &mut [T], v: &mut [T], before: Before<T>, constants: [T; 4]) {
        let [alpha, rest_1, rest_2, epsilon] = constants;
        each(w, g, m.iter_mut().zip(v), before, |w, g, (m, v)| {
            *m = (*m + (g - *m) * rest_1).kept();
            *v = normal(*v + (g * g - *v) * rest_2);
            *w -= *m * alpha / (Real::sqrt(*v) + epsilon);
        });
    }
}

vectorised! {
    fn amsgrad_<T: Real>(w: &mut [T], g: &[T], m: &mut [T], v: &mut [T], largest: &mut [T], before: Before<T>, constants: [T; 4]) {
        let [alpha, rest_1, rest_2, epsilon] = constants;
        each(w, g, m.iter_mut().zip(v).zip(largest), before, |w, g, ((m, v), largest)| {
            *m = (*m + (g - *m) * rest_1).kept();
            *v = normal(*v + (g * g - *v) * rest_2);
            *largest = if *v > *largest { *v } else { *largest };
            *w -= *m * alpha / (Real::sqrt(*largest) + epsilon);
        });
    }
}

vectorised! {
    fn nadam<T: Real>(w: &mut [T], g: &[T], m: &mut [T], v: &mut [T], before: Before<T>, constants: [T; 7]) {
        let [rate, of_momentum, of_gradient, of_velocity, rest_1, rest_2, epsilon] = constants;
        each(w, g, m.iter_mut().zip(v), before, |w, g, (m, v)| {
            *m = (*m + (g - *m) * rest_1).kept();
            *v = normal(*v + (g * g - *v) * rest_2);
            *w -= (of_momentum * *m + of_gradient * g) * rate / (Real::sqrt(*v * of_velocity) + epsilon);
        });
    }
}

vectorised! {
    fn adamax<T: Real>(w: &mut [T], g: &[T], m: &mut [T], u: &mut [T], before: Before<T>, constants: [T; 5]) {
        let [rate, correction, rest_1, beta_2, epsilon] = constants;
        each(w, g, m.iter_mut().zip(u), before, |w, g, (m, u)| {
            *m = (*m + (g - *m) * rest_1).kept();
            let (decayed, g) = (beta_2 * *u, abs(g));
            *u = normal(if decayed > g { decayed } else { g });
            *w -= rate * *m / (correction * (*u + epsilon));
        });
    }
}

vectorised! {
    fn adagrad<T: Real>(w: &mut [T], g: &[T], a: &mut [T], before: Before<T>, rate: T, epsilon: T) {
        each(w, g, a.iter_mut(), before, |w, g, a| {
            *a += g * g;
            *w -= rate * g / Real::sqrt(*a + epsilon);
        });
    }
}

vectorised! {
    fn adadelta<T: Real>(w: &mut [T], g: &[T], a: &mut [T], d: &mut [T], before: Before<T>, constants: [T; 4]) {
        let [rate, rho, rest, epsilon] = constants;
        each(w, g, a.iter_mut().zip(d), before, |w, g, (a, d)| {
            *a = normal(rho * *a + rest * (g * g));
            let delta = Real::sqrt(*d + epsilon) * g / Real::sqrt(*a + epsilon);
            *d = normal(rho * *d + rest * (delta * delta));
            *w -= rate * delta;
        });
    }
}

vectorised! {
    fn lion<T: Real>(w: &mut [T], g: &[T], m: &mut [T], before: Before<T>, constants: [T; 5]) {
        let [rate, beta_1, rest_1, beta_2, rest_2] = constants;
        each(w, g, m.iter_mut(), before, |w, g, m| {
            *w -= rate * sign(*m * beta_1 + g * rest_1);
            *m = normal(*m * beta_2 + g * rest_2);
        });
    }
}
