//! Callbacks change or end the training between epochs. They are Keras's
//! (<https://keras.io/api/callbacks/>), written as pure decisions.
//!
//! An [`EarlyStopping`] or [`ReduceLrOnPlateau`] holds the arguments; a [`Patience`] or [`Plateau`]
//! holds what it has seen so far, as plain data for checkpoints.

mod early_stopping;
mod reduce_lr_on_plateau;
mod score;

pub use early_stopping::{EarlyStopping, Patience};
pub use reduce_lr_on_plateau::{Plateau, ReduceLrOnPlateau};

use crate::document::{Fields, FromDocument, Place, Reader, bounded, did_you_mean, names, quote, read_named};
use crate::limits;
use crate::objective::{Direction, Objective};
use crate::training::metric::{canonical, direction};

/// The callbacks of a trial, each at most once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Callbacks {
    /// Ends the training when a metric no longer improves.
    pub early_stopping: Option<EarlyStopping>,
    /// Lowers the learning rate when a metric no longer improves.
    pub reduce_lr_on_plateau: Option<ReduceLrOnPlateau>,
    /// Whether training ends with the best epoch so far if the loss is not a number; otherwise the
    /// trial has diverged.
    pub terminate_on_nan: bool,
}

/// One callback.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Callback {
    EarlyStopping(EarlyStopping),
    ReduceLrOnPlateau(ReduceLrOnPlateau),
    TerminateOnNan,
}

names! {
    /// The direction in which a monitored metric improves.
    pub enum Mode {
        /// The metric's own direction.
        Auto = "auto",
        /// Down.
        Min = "min",
        /// Up.
        Max = "max",
    }
    later []
}

impl Mode {
    /// Which way is better for the metric that is logged under this name.
    fn direction(self, logged: &str) -> Direction {
        match self {
            Mode::Auto => direction(logged),
            Mode::Min => Direction::Minimize,
            Mode::Max => Direction::Maximize,
        }
    }
}

bounded! {
    /// A number of epochs.
    Epochs(i64), 0, limits::EPOCHS_MAX
}
bounded! {
    /// The smallest change of a metric that counts. Keras uses its absolute value.
    Delta(f64), 0.0, limits::MONITORED_MAX
}
bounded! {
    /// A value of a metric.
    Baseline(f64), -limits::MONITORED_MAX, limits::MONITORED_MAX
}
bounded! {
    /// What the learning rate is multiplied by.
    Factor(f64), 0.0, limits::PLATEAU_FACTOR_MAX
}
bounded! {
    /// The smallest learning rate.
    LeastRate(f64), 0.0, limits::LEARNING_RATE_MAX
}

/// Keras's callbacks.
pub(crate) const CALLBACKS: &[(&str, Reader<Callback>)] = &[
    ("early_stopping", |fields| early_stopping(fields).map(Callback::EarlyStopping)),
    ("reduce_lr_on_plateau", |fields| reduce_lr_on_plateau(fields).map(Callback::ReduceLrOnPlateau)),
    ("terminate_on_nan", |_| Some(Callback::TerminateOnNan)),
];

impl Callbacks {
    /// The callbacks in the array at `place`. `constant` says whether the learning rate is the same
    /// at all steps.
    pub(super) fn read(place: &Place, constant: bool) -> Option<Callbacks> {
        let mut callbacks = Callbacks::default();
        let mut sound = true;
        for item in place.items(limits::CALLBACKS_MAX)? {
            // Null, as in a case, means no callback.
            let twice = match item.read::<Option<Callback>>() {
                Some(Some(Callback::EarlyStopping(callback))) => {
                    callbacks.early_stopping.replace(callback).is_some()
                }
                Some(Some(Callback::ReduceLrOnPlateau(callback))) => {
                    if !constant {
                        item.invalid("reduce_lr_on_plateau and a learning rate schedule exclude each other; remove one");
                        sound = false;
                    }
                    callbacks.reduce_lr_on_plateau.replace(callback).is_some()
                }
                Some(Some(Callback::TerminateOnNan)) => {
                    std::mem::replace(&mut callbacks.terminate_on_nan, true)
                }
                Some(None) => false,
                None => {
                    sound = false;
                    false
                }
            };
            if twice {
                item.invalid("is listed twice; each kind of callback can be used once");
                sound = false;
            }
        }
        sound.then_some(callbacks)
    }
}

impl FromDocument for Callback {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Callback> {
        let later = &[
            "model_checkpoint",
            "learning_rate_scheduler",
            "csv_logger",
            "tensor_board",
            "backup_and_restore",
            "swap_ema_weights",
        ];
        read_named(place, CALLBACKS, (later, &["verbose"]))
    }
}

/// Reports each callback below `place` that monitors a name that is not in `logged`, or that would
/// restore the weights of another epoch than the best by the `objective`: a trial keeps the weights
/// of that one.
pub(crate) fn check_callbacks(place: &Place, logged: &[String], objective: Option<&Objective>) {
    for item in place.items(limits::CALLBACKS_MAX).unwrap_or_default() {
        check_callback(&item, logged, objective);
    }
}

fn check_callback(place: &Place, logged: &[String], objective: Option<&Objective>) {
    if let Some(branches) = place.branches() {
        branches.iter().for_each(|branch| check_callback(branch, logged, objective));
        return;
    }
    let name = place.json().as_str().or_else(|| place.json()["name"].as_str());
    if !matches!(name, Some("early_stopping" | "reduce_lr_on_plateau")) {
        return;
    }
    let given = place.at("/monitor");
    let monitor = match &given {
        Some(monitor) => monitor.json().as_str().map(canonical),
        None => Some(MONITOR.to_owned()),
    };
    // A monitor that is not a string was reported when it was read.
    let Some(monitor) = monitor else { return };
    if logged.contains(&monitor) {
        if let (Some(restore), Some(objective)) = (place.at(&format!("/{RESTORE}")), objective) {
            check_restored(place, &restore, &monitor, objective);
        }
        return;
    }
    let all = logged.join(", ");
    match given {
        Some(place) => {
            let near = did_you_mean(&monitor, logged.iter().map(String::as_str));
            place.invalid(format!("{} is not logged{near}; logged: {all}", quote(&monitor)));
        }
        None => place.invalid(format!(
            "monitors {MONITOR} by default, which is not logged because no rows are held out; give a `monitor` ({all}) or a `validation_split`"
        )),
    }
}

fn check_restored(callback: &Place, restore: &Place, monitor: &str, objective: &Objective) {
    let modes = callback.at("/mode").map_or_else(|| vec![Mode::Auto], |mode| mode.read_all::<Mode>());
    if monitor != objective.metric || modes.iter().any(|mode| mode.direction(monitor) != objective.direction)
    {
        let Objective { metric, direction } = objective;
        restore.not_supported(format!(
            "a trial keeps the weights of the epoch with the best {metric}, its objective ({}); monitor that, or remove restore_best_weights",
            direction.as_str()
        ));
    }
}

/// Keras's argument for the weights that are kept after training.
const RESTORE: &str = "restore_best_weights";

/// The metric that Keras monitors by default.
const MONITOR: &str = "val_loss";

/// The canonical name of the monitored metric, and which way is better.
fn monitor(fields: &mut Fields) -> Option<(String, Direction)> {
    let monitor = match fields.get("monitor") {
        Some(place) => place.fixed::<String>().map(|name| canonical(&name)),
        None => Some(MONITOR.to_owned()),
    };
    let mode = fields.or("mode", Mode::Auto);
    let monitor = monitor?;
    let direction = mode?.direction(&monitor);
    Some((monitor, direction))
}

fn early_stopping(fields: &mut Fields) -> Option<EarlyStopping> {
    let monitor = monitor(fields);
    let (min_delta, patience) = (fields.or("min_delta", Delta(0.0)), fields.or("patience", Epochs(0)));
    let baseline = fields.or::<Option<Baseline>>("baseline", None);
    let kept = best_epoch_kept(fields);
    let start_from_epoch = fields.or("start_from_epoch", Epochs(0));
    let ((monitor, mode), ()) = (monitor?, kept?);
    Some(EarlyStopping {
        monitor,
        mode,
        min_delta: min_delta?.0,
        patience: patience?.0 as u32,
        baseline: baseline?.map(|baseline| baseline.0),
        start_from_epoch: start_from_epoch?.0 as u32,
    })
}

/// Reads `restore_best_weights`, which may only say what a trial does anyway; [`check_callbacks`]
/// compares it with the objective.
fn best_epoch_kept(fields: &mut Fields) -> Option<()> {
    let Some(place) = fields.get(RESTORE) else { return Some(()) };
    let restores = place.fixed::<bool>()?;
    if !restores {
        place.not_supported("a trial keeps the weights of its best epoch by the objective, never those of the last; remove it");
    }
    restores.then_some(())
}

fn reduce_lr_on_plateau(fields: &mut Fields) -> Option<ReduceLrOnPlateau> {
    let monitor = monitor(fields);
    let (factor, patience) = (fields.or("factor", Factor(0.1)), fields.or("patience", Epochs(10)));
    let min_delta = fields.or("min_delta", Delta(1e-4));
    let (cooldown, min_lr) = (fields.or("cooldown", Epochs(0)), fields.or("min_lr", LeastRate(0.0)));
    let (monitor, mode) = monitor?;
    Some(ReduceLrOnPlateau {
        monitor,
        mode,
        factor: factor?.0,
        patience: patience?.0 as u32,
        min_delta: min_delta?.0,
        cooldown: cooldown?.0 as u32,
        min_lr: min_lr?.0,
    })
}

#[cfg(test)]
mod tests;
