//! Keras's losses (<https://keras.io/api/losses/>).

use crate::document::{Fields, FromDocument, Place, Reader, bounded, read_named};
use crate::limits;

/// The number that training minimises: its mean over the rows of a batch. Outputs are probabilities
/// unless they are logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Cross-entropy against class numbers.
    SparseCategoricalCrossentropy {
        /// Whether outputs are logits; the loss then applies the softmax.
        from_logits: bool,
    },
    /// Cross-entropy against one-hot labels; class numbers are made one-hot.
    CategoricalCrossentropy {
        /// Whether outputs are logits; the loss then applies the softmax.
        from_logits: bool,
        /// How much of each label is spread over all classes, in [0, 1].
        label_smoothing: f64,
    },
    /// Cross-entropy of two classes, or of each class separately against one-hot labels.
    BinaryCrossentropy {
        /// Whether outputs are logits; the loss then applies the sigmoid.
        from_logits: bool,
        /// How far labels are moved towards 1/2, in [0, 1].
        label_smoothing: f64,
    },
    /// The mean of squared differences.
    MeanSquaredError,
    /// The mean of absolute differences.
    MeanAbsoluteError,
    /// `d² / 2` for a difference d up to delta, `delta (|d| - delta / 2)` beyond.
    Huber {
        /// The difference at which the loss becomes linear.
        delta: f64,
    },
    /// `ln(cosh(d))` of a difference d.
    LogCosh,
    /// `sum(y ln(y / p))` against one-hot labels, both within [1e-7, 1].
    KlDivergence,
    /// `max(1 - y p, 0)` with labels -1 and 1.
    Hinge,
    /// `p - y ln(p + 1e-7)`.
    Poisson,
}

impl Loss {
    /// The long name in Keras.
    pub fn as_str(self) -> &'static str {
        match self {
            Loss::SparseCategoricalCrossentropy { .. } => "sparse_categorical_crossentropy",
            Loss::CategoricalCrossentropy { .. } => "categorical_crossentropy",
            Loss::BinaryCrossentropy { .. } => "binary_crossentropy",
            Loss::MeanSquaredError => "mean_squared_error",
            Loss::MeanAbsoluteError => "mean_absolute_error",
            Loss::Huber { .. } => "huber",
            Loss::LogCosh => "log_cosh",
            Loss::KlDivergence => "kl_divergence",
            Loss::Hinge => "hinge",
            Loss::Poisson => "poisson",
        }
    }

    /// Whether labels are classes rather than numbers.
    pub fn is_classification(self) -> bool {
        match self {
            Loss::SparseCategoricalCrossentropy { .. }
            | Loss::CategoricalCrossentropy { .. }
            | Loss::BinaryCrossentropy { .. }
            | Loss::KlDivergence
            | Loss::Hinge => true,
            Loss::MeanSquaredError
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::LogCosh
            | Loss::Poisson => false,
        }
    }

    /// How the loss interprets the outputs of a network.
    pub fn outputs(self) -> Outputs {
        match self {
            Loss::SparseCategoricalCrossentropy { from_logits: true }
            | Loss::CategoricalCrossentropy { from_logits: true, .. } => Outputs::ClassLogits,
            Loss::SparseCategoricalCrossentropy { .. } | Loss::CategoricalCrossentropy { .. } => {
                Outputs::Shares
            }
            Loss::BinaryCrossentropy { from_logits: true, .. } => Outputs::Logits,
            Loss::BinaryCrossentropy { .. } => Outputs::Probabilities,
            Loss::KlDivergence => Outputs::Distribution,
            Loss::Hinge => Outputs::Margins,
            Loss::MeanSquaredError
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::LogCosh
            | Loss::Poisson => Outputs::Values,
        }
    }
}

/// How a loss interprets the outputs of a network. Metrics interpret them in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// They are the values of a regression.
    Values,
    /// Each output is a probability of its own.
    Probabilities,
    /// Each output is a logit of its own: its sigmoid is a probability.
    Logits,
    /// A row has a probability for each class; they sum to 1.
    Distribution,
    /// A row has a positive number for each class; divided by their sum, they are a distribution.
    Shares,
    /// A row has a logit for each class; the softmax of the row is a distribution.
    ClassLogits,
    /// A number below 0 means the first of two classes, above 0 the second.
    Margins,
}

impl Outputs {
    /// Whether the outputs are logits.
    pub fn are_logits(self) -> bool {
        match self {
            Outputs::Logits | Outputs::ClassLogits => true,
            Outputs::Values
            | Outputs::Probabilities
            | Outputs::Distribution
            | Outputs::Shares
            | Outputs::Margins => false,
        }
    }
}

bounded! {
    /// A fraction.
    Fraction(f64), 0.0, 1.0
}
bounded! {
    /// The difference at which Huber's loss becomes linear.
    Delta(f64), limits::EPSILON_MIN, limits::WEIGHT_START_MAX
}

/// Keras's losses by their names and its aliases.
pub(crate) const LOSSES: &[(&str, Reader<Loss>)] = &[
    ("sparse_categorical_crossentropy", |fields| {
        logits(fields).map(|from_logits| Loss::SparseCategoricalCrossentropy { from_logits })
    }),
    ("categorical_crossentropy", |fields| {
        let (from_logits, smoothing) = (logits(fields), smoothing(fields));
        Some(Loss::CategoricalCrossentropy { from_logits: from_logits?, label_smoothing: smoothing? })
    }),
    ("binary_crossentropy", |fields| {
        let (from_logits, smoothing) = (logits(fields), smoothing(fields));
        Some(Loss::BinaryCrossentropy { from_logits: from_logits?, label_smoothing: smoothing? })
    }),
    ("mean_squared_error", |_| Some(Loss::MeanSquaredError)),
    ("mse", |_| Some(Loss::MeanSquaredError)),
    ("mean_absolute_error", |_| Some(Loss::MeanAbsoluteError)),
    ("mae", |_| Some(Loss::MeanAbsoluteError)),
    ("huber", |fields| fields.or("delta", Delta(1.0)).map(|delta| Loss::Huber { delta: delta.0 })),
    ("log_cosh", |_| Some(Loss::LogCosh)),
    ("kl_divergence", |_| Some(Loss::KlDivergence)),
    ("hinge", |_| Some(Loss::Hinge)),
    ("poisson", |_| Some(Loss::Poisson)),
];

const LATER: &[&str] = &[
    "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "squared_hinge",
    "cosine_similarity",
    "mean_absolute_percentage_error",
    "mape",
    "mean_squared_logarithmic_error",
    "msle",
    "dice",
    "tversky",
    "circle",
    "ctc",
];

impl FromDocument for Loss {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Loss> {
        read_named(place, LOSSES, (LATER, &["axis", "ignore_class", "reduction", "dtype"]))
    }
}

fn logits(fields: &mut Fields) -> Option<bool> {
    fields.or("from_logits", false)
}

fn smoothing(fields: &mut Fields) -> Option<f64> {
    fields.or("label_smoothing", Fraction(0.0)).map(|fraction| fraction.0)
}
