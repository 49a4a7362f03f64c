//! Keras's metrics (<https://keras.io/api/metrics/>).

use crate::document::{FromDocument, Place, bounded, name_and_fields};
use crate::limits;
use crate::objective::Direction;

/// A number that is logged besides the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// The fraction of rows whose largest output is that of their class; with one output, the same
    /// as [`Metric::BinaryAccuracy`].
    Accuracy,
    /// The fraction of rows whose output is on the side of 1/2 that belongs to their class.
    BinaryAccuracy,
    /// The fraction of rows whose largest output is that of their class, against one-hot labels.
    CategoricalAccuracy,
    /// The fraction of rows whose largest output is that of their class.
    SparseCategoricalAccuracy,
    /// The fraction of rows whose class is among the k largest outputs.
    TopKCategoricalAccuracy {
        /// How many of the largest outputs count.
        k: u32,
    },
    /// The fraction of positive predictions that are right.
    Precision,
    /// The fraction of positive rows that are predicted as positive.
    Recall,
    /// The area under the receiver operating characteristic.
    Auc,
    /// The harmonic mean of precision and recall, averaged over the classes.
    F1Score,
    /// The mean of squared differences.
    Mse,
    /// The square root of the mean of squared differences.
    Rmse,
    /// The mean of absolute differences.
    Mae,
    /// The explained fraction of the variance of the labels.
    R2Score,
}

impl Metric {
    /// The name it is logged under.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::BinaryAccuracy => "binary_accuracy",
            Metric::CategoricalAccuracy => "categorical_accuracy",
            Metric::SparseCategoricalAccuracy => "sparse_categorical_accuracy",
            Metric::TopKCategoricalAccuracy { .. } => "top_k_categorical_accuracy",
            Metric::Precision => "precision",
            Metric::Recall => "recall",
            Metric::Auc => "auc",
            Metric::F1Score => "f1_score",
            Metric::Mse => "mse",
            Metric::Rmse => "rmse",
            Metric::Mae => "mae",
            Metric::R2Score => "r2_score",
        }
    }

    /// Whether labels are classes rather than numbers.
    pub fn is_classification(self) -> bool {
        match self {
            Metric::Accuracy
            | Metric::BinaryAccuracy
            | Metric::CategoricalAccuracy
            | Metric::SparseCategoricalAccuracy
            | Metric::TopKCategoricalAccuracy { .. }
            | Metric::Precision
            | Metric::Recall
            | Metric::Auc
            | Metric::F1Score => true,
            Metric::Mse | Metric::Rmse | Metric::Mae | Metric::R2Score => false,
        }
    }

    /// Which way is better.
    pub fn direction(self) -> Direction {
        match self {
            Metric::Mse | Metric::Rmse | Metric::Mae => Direction::Minimize,
            Metric::Accuracy
            | Metric::BinaryAccuracy
            | Metric::CategoricalAccuracy
            | Metric::SparseCategoricalAccuracy
            | Metric::TopKCategoricalAccuracy { .. }
            | Metric::Precision
            | Metric::Recall
            | Metric::Auc
            | Metric::F1Score
            | Metric::R2Score => Direction::Maximize,
        }
    }
}

bounded! {
    /// How many of the largest outputs count.
    TopK(i64), 1, limits::DATASET_CLASSES_MAX as i64
}

const TOP_K: Metric = Metric::TopKCategoricalAccuracy { k: 5 };

/// Keras's metrics with Keras's defaults, by the names they are logged under and by aliases.
pub(crate) const METRICS: &[(&str, Metric)] = &[
    ("accuracy", Metric::Accuracy),
    ("binary_accuracy", Metric::BinaryAccuracy),
    ("categorical_accuracy", Metric::CategoricalAccuracy),
    ("sparse_categorical_accuracy", Metric::SparseCategoricalAccuracy),
    ("top_k_categorical_accuracy", TOP_K),
    ("sparse_top_k_categorical_accuracy", TOP_K),
    ("top_k", TOP_K),
    ("precision", Metric::Precision),
    ("recall", Metric::Recall),
    ("auc", Metric::Auc),
    ("f1_score", Metric::F1Score),
    ("f1", Metric::F1Score),
    ("mse", Metric::Mse),
    ("mean_squared_error", Metric::Mse),
    ("rmse", Metric::Rmse),
    ("root_mean_squared_error", Metric::Rmse),
    ("mae", Metric::Mae),
    ("mean_absolute_error", Metric::Mae),
    ("r2_score", Metric::R2Score),
    ("r2", Metric::R2Score),
];

const LATER: &[&str] = &[
    "mean_absolute_percentage_error",
    "mape",
    "mean_squared_logarithmic_error",
    "msle",
    "cosine_similarity",
    "log_cosh_error",
    "fbeta_score",
    "specificity_at_sensitivity",
    "sensitivity_at_specificity",
    "precision_at_recall",
    "recall_at_precision",
    "true_positives",
    "true_negatives",
    "false_positives",
    "false_negatives",
    "mean_io_u",
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "kl_divergence",
    "poisson",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
];

/// Arguments of Keras's metrics that are not supported yet.
const LATER_ARGUMENTS: &[&str] = &[
    "threshold",
    "thresholds",
    "top_k",
    "class_id",
    "average",
    "curve",
    "num_thresholds",
    "multi_label",
    "from_logits",
    "dtype",
];

impl FromDocument for Metric {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Metric> {
        let (name, mut fields) = name_and_fields(place, METRICS.iter().map(|(name, _)| *name), LATER)?;
        let metric = match metric_called(name)? {
            // A metric and its arguments are the same for all trials.
            Metric::TopKCategoricalAccuracy { k } => {
                let k = fields.get("k").map_or(Some(TopK(i64::from(k))), |place| place.fixed());
                k.map(|TopK(k)| Metric::TopKCategoricalAccuracy { k: k as u32 })
            }
            plain => Some(plain),
        };
        fields.finish(LATER_ARGUMENTS);
        metric
    }
}

/// The canonical form of a logged name: `val_f1` becomes `val_f1_score`. Other names are returned
/// unchanged.
pub(crate) fn canonical(name: &str) -> String {
    let (prefix, bare) = name.strip_prefix("val_").map_or(("", name), |bare| ("val_", bare));
    format!("{prefix}{}", metric_called(bare).map_or(bare, |metric| metric.as_str()))
}

/// Which way is better for a logged name, as KerasTuner infers it: an accuracy or a score is
/// maximised, a loss or an error is minimised.
pub(crate) fn direction(logged: &str) -> Direction {
    metric_called(logged.strip_prefix("val_").unwrap_or(logged))
        .map_or(Direction::Minimize, Metric::direction)
}

fn metric_called(name: &str) -> Option<Metric> {
    METRICS.iter().find(|(known, _)| *known == name).map(|(_, metric)| *metric)
}
