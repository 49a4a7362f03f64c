//! How a trial is trained: optimiser, loss, metrics, batch size and epochs, under Keras's names with Keras's defaults.

use crate::document::{Fields, FromDocument, Place, bounded, names, read_name};
use crate::limits;

/// The training recipe of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// How weights follow gradients.
    pub optimizer: Optimizer,
    /// What is minimised.
    pub loss: Loss,
    /// What is logged besides the loss.
    pub metrics: Vec<Metric>,
    /// Rows in a step.
    pub batch_size: usize,
    /// Passes over the training rows.
    pub epochs: u32,
}

/// An optimiser with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum Optimizer {
    /// Kingma and Ba 2014, with Keras's epsilon (<https://keras.io/api/optimizers/adam/>).
    Adam {
        /// Step size.
        learning_rate: f64,
        /// Decay of the first moment.
        beta_1: f64,
        /// Decay of the second moment.
        beta_2: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
    },
    /// Gradient descent with momentum (<https://keras.io/api/optimizers/sgd/>).
    Sgd {
        /// Step size.
        learning_rate: f64,
        /// How much of the last step is kept.
        momentum: f64,
    },
}

impl Optimizer {
    /// How many numbers it keeps for each weight.
    pub fn slots(&self) -> u64 {
        match self {
            Optimizer::Adam { .. } => 2,
            Optimizer::Sgd { momentum, .. } => u64::from(*momentum != 0.0),
        }
    }
}

names! {
    /// What is minimised.
    pub enum Loss {
        /// Cross-entropy of probabilities against class numbers.
        SparseCategoricalCrossentropy = "sparse_categorical_crossentropy",
        /// Cross-entropy of probabilities against one-hot labels; class numbers are made one-hot.
        CategoricalCrossentropy = "categorical_crossentropy",
        /// The mean of squared differences.
        MeanSquaredError = "mean_squared_error",
    }
    later ["binary_crossentropy", "mean_absolute_error", "huber", "log_cosh", "kl_divergence", "hinge", "poisson", "mse", "mae"]
}

names! {
    /// What is logged besides the loss.
    pub enum Metric {
        /// The fraction of rows whose most probable class is theirs.
        Accuracy = "accuracy",
        /// The mean of absolute differences.
        Mae = "mae",
    }
    later ["top_k", "top_k_categorical_accuracy", "precision", "recall", "auc", "f1", "mse", "rmse", "r2", "mean_absolute_error", "mean_squared_error"]
}

impl Loss {
    /// Whether it compares probabilities with classes.
    pub fn is_classification(self) -> bool {
        self != Loss::MeanSquaredError
    }
}

bounded! {
    /// A learning rate.
    LearningRate(f64), 0.0, limits::LEARNING_RATE_MAX
}
bounded! {
    /// A decay: at 1 nothing would ever be forgotten.
    Decay(f64), 0.0, limits::DECAY_MAX
}
bounded! {
    /// The epsilon of an optimiser.
    Epsilon(f64), limits::EPSILON_MIN, 1.0
}
bounded! {
    /// Rows in a step.
    pub BatchSize(i64), 1, limits::BATCH_SIZE_MAX
}
bounded! {
    /// Passes over the training rows.
    Epochs(i64), 1, limits::EPOCHS_MAX
}

impl FromDocument for Training {
    fn from_place(place: &Place) -> Option<Training> {
        let mut fields = place.fields()?;
        let optimizer = fields.required("optimizer").and_then(|place| place.read());
        let loss = fields.required("loss").and_then(|place| place.read());
        let metrics = fields.get("metrics").map_or(Some(Vec::new()), |place| metrics(&place));
        let batch_size = fields.or("batch_size", BatchSize(32));
        let epochs = fields.or("epochs", Epochs(1));
        fields.finish(&["callbacks", "class_weight", "sample_weight", "steps_per_epoch", "validation_freq"]);
        Some(Training {
            optimizer: optimizer?,
            loss: loss?,
            metrics: metrics?,
            batch_size: batch_size?.0 as usize,
            epochs: epochs?.0 as u32,
        })
    }
}

/// The metrics are the same for all trials, since their curves share columns.
fn metrics(place: &Place) -> Option<Vec<Metric>> {
    let mut metrics: Vec<Metric> = Vec::new();
    for item in place.items(limits::METRICS_MAX)? {
        let metric = item.fixed::<Metric>()?;
        if metrics.contains(&metric) {
            item.invalid(format!("{} stands twice", metric.as_str()));
            return None;
        }
        metrics.push(metric);
    }
    Some(metrics)
}

/// Keras's optimisers that are built, and those that are not yet.
pub(crate) const OPTIMIZERS: &[&str] = &["adam", "sgd"];
const LATER: &[&str] = &["rmsprop", "adamw", "nadam", "adamax", "adagrad", "adadelta", "lion", "ftrl", "adafactor", "lamb"];
const LATER_ARGUMENTS: &[&str] = &[
    "nesterov",
    "amsgrad",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "gradient_accumulation_steps",
    "loss_scale_factor",
];

impl FromDocument for Optimizer {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Optimizer> {
        if place.json().is_string() {
            return match read_name(place, OPTIMIZERS, |name| *name, LATER)? {
                "adam" => Some(Optimizer::Adam { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }),
                _ => Some(Optimizer::Sgd { learning_rate: 0.01, momentum: 0.0 }),
            };
        }
        let mut fields = place.fields()?;
        let name = fields.required("name")?;
        let name = read_name(&name, OPTIMIZERS, |name| *name, LATER)?;
        let optimizer = if name == "adam" { adam(&mut fields) } else { sgd(&mut fields) };
        fields.finish(LATER_ARGUMENTS);
        optimizer
    }
}

fn adam(fields: &mut Fields) -> Option<Optimizer> {
    let learning_rate = fields.or("learning_rate", LearningRate(0.001));
    let beta_1 = fields.or("beta_1", Decay(0.9));
    let beta_2 = fields.or("beta_2", Decay(0.999));
    let epsilon = fields.or("epsilon", Epsilon(1e-7));
    Some(Optimizer::Adam { learning_rate: learning_rate?.0, beta_1: beta_1?.0, beta_2: beta_2?.0, epsilon: epsilon?.0 })
}

fn sgd(fields: &mut Fields) -> Option<Optimizer> {
    let learning_rate = fields.or("learning_rate", LearningRate(0.01));
    let momentum = fields.or("momentum", Decay(0.0));
    Some(Optimizer::Sgd { learning_rate: learning_rate?.0, momentum: momentum?.0 })
}
