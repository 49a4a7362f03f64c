//! Losses in candle's own operations.

use candle_core::{DType, Result, Tensor};
use hpo::training::Loss;

use crate::kernels::loss::{Criterion, EPSILON, Form};
use crate::targets::Labels;

/// As [`crate::kernels::loss::loss`].
pub(crate) fn loss(output: &Tensor, criterion: Criterion) -> Result<Tensor> {
    let (rows, width) = output.dims2()?;
    let losses = match criterion.form() {
        Form::Logits => {
            let shifted = output.broadcast_sub(&output.max_keepdim(1)?.detach())?;
            cross_entropy(&shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?, &criterion)?
        }
        Form::Probabilities => {
            cross_entropy(&clip(&output.broadcast_div(&output.sum_keepdim(1)?)?)?.log()?, &criterion)?
        }
        Form::Each { sum } => {
            let targets =
                (0..rows * width).map(|at| criterion.target(at / width, at % width, width)).collect();
            let losses = values(criterion.loss, output, &like(targets, (rows, width), output)?)?;
            if sum { losses.sum_keepdim(1)? } else { losses.mean_keepdim(1)? }
        }
    };
    let weights =
        like((0..rows).map(|row| f64::from(criterion.targets.weight(row))).collect(), (rows, 1), output)?;
    (losses * weights)?.mean_all()
}

/// The losses `(rows, 1)` of logarithms of probabilities.
fn cross_entropy(logarithms: &Tensor, criterion: &Criterion) -> Result<Tensor> {
    let Labels::Classes(classes) = &criterion.targets.labels else {
        unreachable!("a loss of classes is made with classes")
    };
    let own = logarithms.gather(&Tensor::from_slice(classes, (classes.len(), 1), logarithms.device())?, 1)?;
    let smoothing = criterion.smoothing();
    if smoothing == 0.0 {
        return own.neg();
    }
    (own * -(1.0 - smoothing))? - (logarithms.mean_keepdim(1)? * smoothing)?
}

/// As the kernel's `value`, number by number.
fn values(loss: Loss, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let difference = (x - y)?;
    let absolute = (&difference * difference.sign()?.detach())?;
    match loss {
        Loss::MeanSquaredError => difference.sqr(),
        Loss::BinaryCrossentropy { from_logits: true, .. } => softplus(x)? - (x * y)?,
        Loss::BinaryCrossentropy { .. } => {
            let p = clip(x)?;
            let (yes, no) = ((y * p.log()?)?, (y.affine(-1.0, 1.0)? * p.affine(-1.0, 1.0)?.log()?)?);
            (yes + no)?.neg()
        }
        Loss::MeanAbsoluteError => Ok(absolute),
        Loss::Huber { delta } => {
            // Its derivative is the bounded difference itself, without that of the bound.
            let within = absolute.minimum(delta)?.detach();
            &within * (absolute - (&within / 2.0)?)?
        }
        Loss::LogCosh => (&difference + softplus(&(&difference * -2.0)?)?)? - std::f64::consts::LN_2,
        Loss::KlDivergence => y * y.div(&x.clamp(EPSILON, 1.0)?)?.log()?,
        Loss::Hinge => (x * y)?.affine(-1.0, 1.0)?.relu(),
        Loss::Poisson => x - (y * (x + EPSILON)?.log()?)?,
        Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => {
            unreachable!("they go over rows")
        }
    }
}

/// `ln(1 + exp(x))` for x of any size.
fn softplus(x: &Tensor) -> Result<Tensor> {
    let largest = x.relu()?.detach();
    let tail = (largest.neg()?.exp()? + (x - &largest)?.exp()?)?.log()?;
    largest + tail
}

fn clip(probabilities: &Tensor) -> Result<Tensor> {
    probabilities.clamp(EPSILON, 1.0 - EPSILON)
}

/// A tensor of these numbers, of the type and on the device of another.
fn like(numbers: Vec<f64>, shape: (usize, usize), other: &Tensor) -> Result<Tensor> {
    match other.dtype() {
        DType::F64 => Tensor::from_vec(numbers, shape, other.device()),
        // Converted on the CPU: not every device has the wide type.
        _ => Tensor::from_vec(numbers.iter().map(|number| *number as f32).collect(), shape, other.device()),
    }
}
