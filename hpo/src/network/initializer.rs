//! Initial values of weights: Keras's initialisers (<https://keras.io/api/layers/initializers/>).

use crate::document::{Fields, FromDocument, Place, Reader, bounded, names, read_named};
use crate::limits;

/// The initial value of a weight. Fans are counted as in Keras: for a kernel `(…window, inputs,
/// outputs)`, `fan_in` is window × inputs and `fan_out` is window × outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initializer {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All numbers are the same.
    Constant {
        /// The number.
        value: f64,
    },
    /// Normal.
    RandomNormal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        stddev: f64,
    },
    /// Uniform.
    RandomUniform {
        /// The lower end.
        minval: f64,
        /// The upper end.
        maxval: f64,
    },
    /// Normal; numbers beyond two standard deviations are drawn again.
    TruncatedNormal {
        /// The mean.
        mean: f64,
        /// The standard deviation before the cut.
        stddev: f64,
    },
    /// Random with variance `scale / n`, where `mode` says what n is.
    VarianceScaling {
        /// The numerator of the variance.
        scale: f64,
        /// Its denominator.
        mode: FanMode,
        /// The kind of distribution.
        distribution: Distribution,
    },
    /// Uniform within `sqrt(6 / (fan_in + fan_out))`.
    GlorotUniform,
    /// Normal with variance `2 / (fan_in + fan_out)`, truncated at two standard deviations.
    GlorotNormal,
    /// Uniform within `sqrt(6 / fan_in)`.
    HeUniform,
    /// Normal with variance `2 / fan_in`, truncated at two standard deviations.
    HeNormal,
    /// Uniform within `sqrt(3 / fan_in)`.
    LecunUniform,
    /// Normal with variance `1 / fan_in`, truncated at two standard deviations.
    LecunNormal,
    /// Rows or columns of length `gain`, each at right angles to all others. A kernel is taken as a
    /// matrix with its last dimension as columns.
    Orthogonal {
        /// The length.
        gain: f64,
    },
}

names! {
    /// What the variance of [`Initializer::VarianceScaling`] is divided by.
    pub enum FanMode {
        /// Inputs of a unit.
        FanIn = "fan_in",
        /// Outputs of a unit.
        FanOut = "fan_out",
        /// The mean of both.
        FanAvg = "fan_avg",
    }
    later []
}

names! {
    /// The kind of distribution of [`Initializer::VarianceScaling`].
    pub enum Distribution {
        /// Normal, truncated at two standard deviations, with the variance after the cut.
        TruncatedNormal = "truncated_normal",
        /// Normal.
        UntruncatedNormal = "untruncated_normal",
        /// Uniform.
        Uniform = "uniform",
    }
    later []
}

bounded! {
    /// An initial number of a weight, or the centre or an end of its distribution.
    Start(f64), -limits::WEIGHT_START_MAX, limits::WEIGHT_START_MAX
}
bounded! {
    /// The spread of initial weights.
    Spread(f64), 0.0, limits::WEIGHT_START_MAX
}

/// Keras's initialisers by their names and its aliases.
pub(crate) const INITIALIZERS: &[(&str, Reader<Initializer>)] = &[
    ("zeros", |_| Some(Initializer::Zeros)),
    ("ones", |_| Some(Initializer::Ones)),
    ("constant", |fields| {
        fields.or("value", Start(0.0)).map(|value| Initializer::Constant { value: value.0 })
    }),
    ("random_normal", |fields| {
        normal(fields).map(|(mean, stddev)| Initializer::RandomNormal { mean, stddev })
    }),
    ("normal", |fields| normal(fields).map(|(mean, stddev)| Initializer::RandomNormal { mean, stddev })),
    ("random_uniform", random_uniform),
    ("uniform", random_uniform),
    ("truncated_normal", |fields| {
        normal(fields).map(|(mean, stddev)| Initializer::TruncatedNormal { mean, stddev })
    }),
    ("variance_scaling", variance_scaling),
    ("glorot_uniform", |_| Some(Initializer::GlorotUniform)),
    ("glorot_normal", |_| Some(Initializer::GlorotNormal)),
    ("he_uniform", |_| Some(Initializer::HeUniform)),
    ("he_normal", |_| Some(Initializer::HeNormal)),
    ("lecun_uniform", |_| Some(Initializer::LecunUniform)),
    ("lecun_normal", |_| Some(Initializer::LecunNormal)),
    ("orthogonal", |fields| {
        fields.or("gain", Spread(1.0)).map(|gain| Initializer::Orthogonal { gain: gain.0 })
    }),
];

impl FromDocument for Initializer {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Initializer> {
        read_named(place, INITIALIZERS, (&["identity", "stft"], &["seed"]))
    }
}

fn normal(fields: &mut Fields) -> Option<(f64, f64)> {
    let (mean, stddev) = (fields.or("mean", Start(0.0)), fields.or("stddev", Spread(0.05)));
    Some((mean?.0, stddev?.0))
}

fn random_uniform(fields: &mut Fields) -> Option<Initializer> {
    let (minval, maxval) = (fields.or("minval", Start(-0.05)), fields.or("maxval", Start(0.05)));
    Some(Initializer::RandomUniform { minval: minval?.0, maxval: maxval?.0 })
}

fn variance_scaling(fields: &mut Fields) -> Option<Initializer> {
    let scale = fields.or("scale", Spread(1.0));
    let mode = fields.or("mode", FanMode::FanIn);
    let distribution = fields.or("distribution", Distribution::TruncatedNormal);
    Some(Initializer::VarianceScaling { scale: scale?.0, mode: mode?, distribution: distribution? })
}
