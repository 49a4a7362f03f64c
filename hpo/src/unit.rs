//! Maps the unit interval to the values of a hyperparameter, after KerasTuner's `prob_to_value`.
//!
//! Logarithms and powers come from `libm`, so that the same number gives the same value on every
//! machine.

use crate::space::{Domain, Sampling};
use crate::value::Value;

/// The value of `domain` at `p` in [0, 1): with uniform `p`, values follow the prior of the domain.
pub fn value(domain: &Domain, p: f64) -> Value {
    match domain {
        // A log range of integers without a step is a continuum over [min, max + 1), rounded down
        // to whole numbers.
        Domain::Int { min, max, step: None, sampling: sampling @ (Sampling::Log | Sampling::ReverseLog) } => {
            let x = spread(*min as f64, *max as f64 + 1.0, *sampling, p);
            Value::Int((x as i64).clamp(*min, *max))
        }
        Domain::Float { min, max, step: None, sampling } if min < max => {
            Value::Float(spread(*min, *max, *sampling, p).clamp(*min, *max))
        }
        _ => {
            let count = domain.count().unwrap_or(1);
            domain.value(((p * count as f64) as u64).min(count - 1))
        }
    }
}

fn spread(min: f64, max: f64, sampling: Sampling, p: f64) -> f64 {
    match sampling {
        Sampling::Linear => p * (max - min) + min,
        Sampling::Log => min * libm::pow(max / min, p),
        Sampling::ReverseLog => max + min - min * libm::pow(max / min, 1.0 - p),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(domain: Domain, expect: &[(f64, Value)]) {
        for (p, wanted) in expect {
            let got = value(&domain, *p);
            let near = match (got.as_f64(), wanted.as_f64()) {
                (Some(got), Some(wanted)) => (got - wanted).abs() <= 1e-12 * wanted.abs(),
                _ => got == *wanted,
            };
            assert!(near, "{domain:?} at {p}: {got:?}, not {wanted:?}");
        }
    }

    #[test]
    fn values_are_those_of_keras_tuner() {
        use Sampling::*;
        // keras_tuner.engine.hyperparameters: HyperParameter.prob_to_value(p).
        let int = |min, max, step, sampling| Domain::Int { min, max, step, sampling };
        check(
            int(6, 13, Some(3), Linear),
            &[(0.0, Value::Int(6)), (0.34, Value::Int(9)), (0.999, Value::Int(12))],
        );
        check(
            int(2, 32, Some(2), Log),
            &[(0.0, Value::Int(2)), (0.5, Value::Int(8)), (0.99, Value::Int(32))],
        );
        check(
            int(1, 100, None, Log),
            &[(0.0, Value::Int(1)), (0.5, Value::Int(10)), (0.999999, Value::Int(100))],
        );
        let float = |min, max, step, sampling| Domain::Float { min, max, step, sampling };
        check(float(1e-4, 1e-2, None, Log), &[(0.0, Value::Float(1e-4)), (0.5, Value::Float(1e-3))]);
        check(float(1e-4, 1e-2, None, ReverseLog), &[(0.5, Value::Float(0.0091)), (0.0, Value::Float(1e-4))]);
        check(float(0.0, 1.0, Some(0.2), Linear), &[(0.999, Value::Float(1.0)), (0.5, Value::Float(0.6))]);
        check(Domain::Boolean, &[(0.49, Value::Bool(false)), (0.5, Value::Bool(true))]);
    }
}
