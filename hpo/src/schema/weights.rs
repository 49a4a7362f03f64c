//! Initialisers, regularisers and constraints of weights, field by field.

use serde_json::{Value as Json, json};

use super::{Field, all, array, integer, may, named, names, number, one_of, optional, or, refer, tunable};
use crate::limits;
use crate::network::{CONSTRAINTS, Distribution, FanMode, INITIALIZERS, REGULARIZERS};

#[rustfmt::skip] // A table: one line for each field.
pub(super) fn components() -> Vec<(&'static str, Json)> {
    let most = limits::WEIGHT_START_MAX;
    let start = |name: &'static str, default: f64, doc: &str| or(name, json!(default), tunable(number(-most, most)), doc);
    let spread = |name: &'static str, default: f64, doc: &str| or(name, json!(default), tunable(number(0.0, most)), doc);
    let normal = || vec![start("mean", 0.0, "The mean."), spread("stddev", 0.05, "The standard deviation.")];
    let factor = |name: &'static str, doc: &str| or(name, json!(0.01), tunable(number(0.0, limits::PENALTY_MAX)), doc);
    let dimension = || tunable(integer(0, limits::RANK_MAX as i64));
    let axis = || or("axis", json!(0), one_of(vec![integer(0, limits::RANK_MAX as i64), array(dimension(), 1, limits::RANK_MAX), refer("Reference")]), "The dimensions of the weight that a norm is taken over.");
    let plain = vec!["zeros", "ones", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"];
    [
        named("Initializer", "The initial value of a weight: a name, or an object with its arguments.", &all(INITIALIZERS), vec![
            ("PlainInitializer", plain, "An initialiser without arguments.", vec![]),
            ("ConstantInitializer", vec!["constant"], "All numbers are the same.", vec![start("value", 0.0, "The number.")]),
            ("RandomNormalInitializer", vec!["random_normal", "normal"], "Normal.", normal()),
            ("RandomUniformInitializer", vec!["random_uniform", "uniform"], "Uniform.", vec![start("minval", -0.05, "The lower end."), start("maxval", 0.05, "The upper end.")]),
            ("TruncatedNormalInitializer", vec!["truncated_normal"], "Normal; numbers beyond two standard deviations are drawn again.", normal()),
            ("VarianceScalingInitializer", vec!["variance_scaling"], "Random with the variance scale / n, where mode says what n is.", vec![
                spread("scale", 1.0, "The numerator."),
                or("mode", json!("fan_in"), tunable(names(FanMode::NAMES)), "What n is: the inputs of a unit, its outputs, or the mean of both."),
                or("distribution", json!("truncated_normal"), tunable(names(Distribution::NAMES)), "The kind of distribution."),
            ]),
            ("OrthogonalInitializer", vec!["orthogonal"], "Rows or columns at right angles.", vec![spread("gain", 1.0, "Their length.")]),
        ]),
        named("Regularizer", "The penalty on a weight or an output that is added to the loss: a name, or an object with its factors.", &all(REGULARIZERS), vec![
            ("L1Regularizer", vec!["l1"], "The sum of absolute values.", vec![factor("l1", "The factor.")]),
            ("L2Regularizer", vec!["l2"], "The sum of squares.", vec![factor("l2", "The factor.")]),
            ("L1L2Regularizer", vec!["l1_l2"], "The sum of absolute values and of squares.", vec![factor("l1", "The factor of the absolute values."), factor("l2", "The factor of the squares.")]),
        ]),
        named("Constraint", "A condition that a weight is forced to meet after each step: a name, or an object with its arguments.", &all(CONSTRAINTS), vec![
            ("MaxNormConstraint", vec!["max_norm"], "Norms are at most max_value.", vec![spread("max_value", 2.0, "The largest norm."), axis()]),
            ("UnitNormConstraint", vec!["unit_norm"], "Norms are 1.", vec![axis()]),
            ("NonNegConstraint", vec!["non_neg"], "No number is below 0.", vec![]),
        ]),
    ].concat()
}

/// The three fields that a layer has for one of its weights.
pub(super) fn weight(weight: &'static str, default: &str) -> Vec<Field> {
    vec![
        or(
            format!("{weight}_initializer"),
            json!(default),
            tunable(refer("Initializer")),
            &format!("Initial value of the {weight} weights."),
        ),
        may(
            format!("{weight}_regularizer"),
            optional(refer("Regularizer")),
            &format!("The penalty on the {weight} weights that is added to the loss."),
        ),
        may(
            format!("{weight}_constraint"),
            optional(refer("Constraint")),
            &format!("A condition that the {weight} weights are forced to meet after each step."),
        ),
    ]
}
