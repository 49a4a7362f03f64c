//! [`crate::kernels::update`] and [`crate::kernels::constraint`] in candle's own operations, for
//! devices other than the CPU.
//!
//! Weights and gradients are detached first: otherwise the slots would keep the tape of every step.

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use hpo::network::Constraint;

use crate::kernels::constraint::EPSILON;
use crate::kernels::update::{Before, Update};

/// As [`crate::kernels::update::Step`].
pub(super) fn step(
    update: Update,
    before: Before<f64>,
    weight: &Var,
    gradient: &Tensor,
    slots: &mut [Tensor],
) -> Result<()> {
    let mut g = (regularized(weight, gradient, before)? * before.factor)?;
    if before.bound.is_finite() {
        g = g.clamp(-before.bound, before.bound)?;
    }
    let mut w = weight.as_detached_tensor();
    if before.decay != 0.0 {
        w = (&w - ((&w * before.decay)? * before.rate)?)?;
    }
    let w = match update {
        Update::Sgd { rate } => (w - (g * rate)?)?,
        Update::Momentum { rate, momentum, nesterov } => {
            let [m] = first(slots)?;
            let step = (g * rate)?;
            *m = ((&*m * momentum)? - &step)?;
            let moved = if nesterov { ((&*m * momentum)? - step)? } else { m.clone() };
            (w + moved)?
        }
        Update::Rmsprop { rate, rho, momentum, epsilon, centered } => {
            let [v] = first(slots)?;
            *v = mix(v, &g.sqr()?, rho)?;
            let mut spread = v.clone();
            if centered {
                // The last slot of the rule.
                let at = 1 + usize::from(momentum != 0.0);
                let Some(a) = slots.get_mut(at) else { bail!("{TOO_FEW_SLOTS}") };
                *a = mix(a, &g, rho)?;
                spread = (spread - a.sqr()?)?;
            }
            let mut moved = ((g * rate)? / (spread + epsilon)?.sqrt()?)?;
            if momentum != 0.0 {
                let [_, m] = first(slots)?;
                *m = ((&*m * momentum)? + moved)?;
                moved = m.clone();
            }
            (w - moved)?
        }
        Update::Adam { alpha, beta_1, beta_2, epsilon, amsgrad } => {
            let [m, v] = first(slots)?;
            towards(m, &g, beta_1)?;
            towards(v, &g.sqr()?, beta_2)?;
            let (m, mut square) = (m.clone(), v.clone());
            if amsgrad {
                let [_, _, largest] = first(slots)?;
                *largest = largest.maximum(&square)?;
                square = largest.clone();
            }
            (w - ((m * alpha)? / (square.sqrt()? + epsilon)?)?)?
        }
        Update::Nadam { rate, of_momentum, of_gradient, of_velocity, beta_1, beta_2, epsilon } => {
            let [m, v] = first(slots)?;
            towards(m, &g, beta_1)?;
            towards(v, &g.sqr()?, beta_2)?;
            let ahead = ((&*m * of_momentum)? + (g * of_gradient)?)?;
            (w - ((ahead * rate)? / ((&*v * of_velocity)?.sqrt()? + epsilon)?)?)?
        }
        Update::Adamax { rate, correction, beta_1, beta_2, epsilon } => {
            let [m, u] = first(slots)?;
            towards(m, &g, beta_1)?;
            *u = (&*u * beta_2)?.maximum(&g.abs()?)?;
            (w - ((&*m * rate)? / ((&*u + epsilon)? * correction)?)?)?
        }
        Update::Adagrad { rate, epsilon } => {
            let [a] = first(slots)?;
            *a = (&*a + g.sqr()?)?;
            (w - ((g * rate)? / (&*a + epsilon)?.sqrt()?)?)?
        }
        Update::Adadelta { rate, rho, epsilon } => {
            let [a, d] = first(slots)?;
            *a = mix(a, &g.sqr()?, rho)?;
            let delta = (((&*d + epsilon)?.sqrt()? * g)? / (&*a + epsilon)?.sqrt()?)?;
            *d = mix(d, &delta.sqr()?, rho)?;
            (w - (delta * rate)?)?
        }
        Update::Lion { rate, beta_1, beta_2 } => {
            let [m] = first(slots)?;
            let moved = (mix(m, &g, beta_1)?.sign()? * rate)?;
            *m = mix(m, &g, beta_2)?;
            (w - moved)?
        }
    };
    weight.set(&w)
}

const TOO_FEW_SLOTS: &str = "an optimiser has fewer slots than its rule needs";

/// The first slots of a weight.
fn first<const N: usize>(slots: &mut [Tensor]) -> Result<&mut [Tensor; N]> {
    match slots.first_chunk_mut() {
        Some(first) => Ok(first),
        None => bail!("{TOO_FEW_SLOTS}"),
    }
}

/// As [`crate::kernels::average::Average`]'s `Take`.
pub(super) fn average(weight: &Var, momentum: f64, slots: &mut [Tensor]) -> Result<()> {
    let average = last(slots)?;
    *average = mix(average, &weight.as_detached_tensor(), momentum)?;
    Ok(())
}

/// As its `Put`.
pub(super) fn overwrite(weight: &Var, slots: &mut [Tensor]) -> Result<()> {
    weight.set(last(slots)?)
}

/// As its `Swap`.
pub(super) fn swap(weight: &Var, slots: &mut [Tensor]) -> Result<()> {
    let average = last(slots)?;
    let held = weight.as_detached_tensor().copy()?;
    weight.set(average)?;
    *average = held;
    Ok(())
}

/// As [`crate::kernels::constraint::Constrain`].
pub(super) fn constrain(weight: &Var, constraint: &Constraint) -> Result<()> {
    let norms = |axis: &[usize]| weight.sqr()?.sum_keepdim(axis)?.sqrt();
    match constraint {
        Constraint::MaxNorm { max_value, axis } => {
            let norms = norms(axis)?;
            let factors = (norms.clamp(0.0, *max_value)? / (&norms + EPSILON)?)?;
            weight.set(&weight.broadcast_mul(&factors)?)
        }
        Constraint::UnitNorm { axis } => weight.set(&weight.broadcast_div(&(norms(axis)? + EPSILON)?)?),
        Constraint::NonNeg => weight.set(&weight.relu()?),
    }
}

/// As [`crate::kernels::sums::squares`].
pub(super) fn squares(weight: &Var, gradient: &Tensor, before: Before<f64>) -> Result<f64> {
    sum(&regularized(weight, gradient, before)?.sqr()?)
}

/// As [`crate::kernels::sums::penalty`].
pub(super) fn penalty(weight: &Var, l1: f64, l2: f64) -> Result<f64> {
    let absolutes = if l1 == 0.0 { 0.0 } else { l1 * sum(&weight.abs()?)? };
    let squares = if l2 == 0.0 { 0.0 } else { l2 * sum(&weight.sqr()?)? };
    Ok(absolutes + squares)
}

/// The gradient with the regulariser's.
fn regularized(weight: &Var, gradient: &Tensor, before: Before<f64>) -> Result<Tensor> {
    let (mut g, weight) = (gradient.detach(), weight.as_detached_tensor());
    if before.l1 != 0.0 {
        g = (g + (weight.sign()? * before.l1)?)?;
    }
    if before.twice_l2 != 0.0 {
        g = (g + (weight * before.twice_l2)?)?;
    }
    Ok(g)
}

/// `keep x + (1 - keep) y`.
fn mix(x: &Tensor, y: &Tensor, keep: f64) -> Result<Tensor> {
    (x * keep)? + (y * (1.0 - keep))?
}

/// `x += (y - x)(1 - keep)`.
fn towards(x: &mut Tensor, y: &Tensor, keep: f64) -> Result<()> {
    *x = (&*x + ((y - &*x)? * (1.0 - keep))?)?;
    Ok(())
}

fn last(slots: &mut [Tensor]) -> Result<&mut Tensor> {
    match slots.last_mut() {
        Some(slot) => Ok(slot),
        None => bail!("a weight has no moving average"),
    }
}

fn sum(x: &Tensor) -> Result<f64> {
    x.sum_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_scalar()
}
