//! How weights start and what holds them small.

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
        named("Initializer", "How a weight starts: a name, or an object with its arguments.", &all(INITIALIZERS), vec![
            ("PlainInitializer", plain, "One without arguments.", vec![]),
            ("ConstantInitializer", vec!["constant"], "All the same.", vec![start("value", 0.0, "The number.")]),
            ("RandomNormalInitializer", vec!["random_normal", "normal"], "Normal.", normal()),
            ("RandomUniformInitializer", vec!["random_uniform", "uniform"], "Uniform.", vec![start("minval", -0.05, "The lower end."), start("maxval", 0.05, "The upper end.")]),
            ("TruncatedNormalInitializer", vec!["truncated_normal"], "Normal, redrawn past two standard deviations.", normal()),
            ("VarianceScalingInitializer", vec!["variance_scaling"], "With a variance of scale divided by what mode says.", vec![
                spread("scale", 1.0, "The numerator."),
                or("mode", json!("fan_in"), tunable(names(FanMode::NAMES)), "Inputs of a unit, outputs, or the mean of both."),
                or("distribution", json!("truncated_normal"), tunable(names(Distribution::NAMES)), "Of what kind."),
            ]),
            ("OrthogonalInitializer", vec!["orthogonal"], "Rows or columns at right angles.", vec![spread("gain", 1.0, "Their length.")]),
        ]),
        named("Regularizer", "What a weight or an output adds to the loss: a name, or an object with its factors.", &all(REGULARIZERS), vec![
            ("L1Regularizer", vec!["l1"], "Absolute values.", vec![factor("l1", "The factor.")]),
            ("L2Regularizer", vec!["l2"], "Squares.", vec![factor("l2", "The factor.")]),
            ("L1L2Regularizer", vec!["l1_l2"], "Absolute values and squares.", vec![factor("l1", "The factor of the absolute values."), factor("l2", "The factor of the squares.")]),
        ]),
        named("Constraint", "What holds for a weight after each step: a name, or an object with its arguments.", &all(CONSTRAINTS), vec![
            ("MaxNormConstraint", vec!["max_norm"], "Norms are at most this.", vec![spread("max_value", 2.0, "The largest norm."), axis()]),
            ("UnitNormConstraint", vec!["unit_norm"], "Norms are 1.", vec![axis()]),
            ("NonNegConstraint", vec!["non_neg"], "No number is below 0.", vec![]),
        ]),
    ].concat()
}

/// What a layer says of one of its weights.
pub(super) fn weight(weight: &'static str, default: &str) -> Vec<Field> {
    vec![
        or(
            format!("{weight}_initializer"),
            json!(default),
            tunable(refer("Initializer")),
            &format!("How the {weight} starts."),
        ),
        may(
            format!("{weight}_regularizer"),
            optional(refer("Regularizer")),
            &format!("What the {weight} adds to the loss."),
        ),
        may(
            format!("{weight}_constraint"),
            optional(refer("Constraint")),
            &format!("What holds for the {weight} after each step."),
        ),
    ]
}
