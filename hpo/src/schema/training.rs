//! Optimisers, schedules, losses, metrics and callbacks, field by field.

use serde_json::{Value as Json, json};

use super::{
    Field, all, array, boolean, constant, constant_of, integer, logged, map, may, must, named, names, number,
    object, one_of, optional, or, refer, tunable, unique,
};
use crate::limits;
use crate::training::{CALLBACKS, LOSSES, METRICS, Mode, OPTIMIZERS};

pub(super) fn components() -> Vec<(&'static str, Json)> {
    [training(), optimizers(), schedules(), losses(), metrics(), callbacks()].concat()
}

#[rustfmt::skip] // A table: one line for each field.
fn training() -> Vec<(&'static str, Json)> {
    let mut weights = map(tunable(number(0.0, limits::CLASS_WEIGHT_MAX)));
    weights["propertyNames"] = json!({"type": "string", "maxLength": limits::CLASS_NAME_BYTES_MAX});
    weights["maxProperties"] = json!(limits::CHOICES_MAX);
    let class_weight = one_of(vec![weights, constant("balanced"), json!({"type": "null"}), refer("Reference")]);
    let callback = one_of(vec![refer("Callback"), json!({"type": "null"}), refer("Reference")]);
    vec![("Training", object("How a trial is trained, under Keras's names with Keras's defaults.", vec![
        must("optimizer", refer("Optimizer"), "How gradients change the weights."),
        must("loss", tunable(refer("Loss")), "What is minimised."),
        or("metrics", json!([]), unique(array(refer("Metric"), 0, limits::METRICS_MAX)), "What is logged besides the loss; the same for all trials."),
        or("batch_size", json!(32), tunable(integer(1, limits::BATCH_SIZE_MAX)), "Rows in a step."),
        or("epochs", json!(1), tunable(integer(1, limits::EPOCHS_MAX)), "Passes over the training rows."),
        or("callbacks", json!([]), array(callback, 0, limits::CALLBACKS_MAX), "What may change or end the training between epochs. Each kind can be used once."),
        may("class_weight", class_weight, "How much the rows of each class count in the training loss: a number for each class (1 for classes not listed), or balanced. A class is named as in the dataset, or by its number if no class has that name."),
    ]))]
}

#[rustfmt::skip] // A table: one line for each field.
fn optimizers() -> Vec<(&'static str, Json)> {
    let decay = |name: &'static str, default: f64, doc: &str| or(name, json!(default), tunable(number(0.0, limits::DECAY_MAX)), doc);
    let flag = |name: &'static str, doc: &str| or(name, json!(false), tunable(boolean()), doc);
    let epsilon = || or("epsilon", json!(1e-7), tunable(number(limits::EPSILON_MIN, 1.0)), "Keeps the quotient finite.");
    let moments = |beta_2: f64| vec![decay("beta_1", 0.9, "Decay of the first moment."), decay("beta_2", beta_2, "Decay of the second moment.")];
    let amsgrad = || flag("amsgrad", "Whether the largest second moment so far is used.");
    let bound = |name: &'static str, doc: &str| may(name, optional(number(limits::EPSILON_MIN, limits::CLIP_MAX)), doc);
    let rate = || one_of(vec![number(0.0, limits::LEARNING_RATE_MAX), refer("Schedule"), refer("Reference")]);
    let doc = "The fraction of each weight, times the learning rate, that is subtracted before each step.";
    let weight_decay = || may("weight_decay", optional(number(0.0, 1.0)), doc);
    let common = |learning_rate: f64| vec![
        or("learning_rate", json!(learning_rate), rate(), "Step size: a number, or a schedule."),
        bound("clipnorm", "The largest norm of the gradient of each weight. Only one of the three clips may be given."),
        bound("clipvalue", "The largest absolute value in a gradient. Only one of the three clips may be given."),
        bound("global_clipnorm", "The largest norm of all gradients together. Only one of the three clips may be given."),
        flag("use_ema", "Whether a moving average of the weights is validated and kept."),
        or("ema_momentum", json!(0.99), tunable(number(0.0, 1.0)), "The fraction of the average that is kept at each step."),
        may("ema_overwrite_frequency", optional(integer(1, limits::EXACT_INTEGER_MAX)), "Every this many steps the average replaces the weights. Left out: never during training."),
    ];
    let with = |own: Vec<Field>| [own, vec![weight_decay()], common(0.001)].concat();
    let kinds = vec![
        ("SgdOptimizer", vec!["sgd"], "Gradient descent with momentum.", [vec![decay("momentum", 0.0, "The fraction of the last step that is kept."), flag("nesterov", "Whether the momentum looks ahead."), weight_decay()], common(0.01)].concat()),
        ("RmspropOptimizer", vec!["rmsprop"], "RMSprop (Hinton 2012).", with(vec![decay("rho", 0.9, "Decay of the mean square."), decay("momentum", 0.0, "The fraction of the last step that is kept."), epsilon(), flag("centered", "Whether the mean gradient is subtracted.")])),
        ("AdamOptimizer", vec!["adam"], "Adam (Kingma and Ba 2014).", with([moments(0.999), vec![epsilon(), amsgrad()]].concat())),
        ("AdamwOptimizer", vec!["adamw"], "Adam with decoupled weight decay (Loshchilov and Hutter 2017).", [moments(0.999), vec![epsilon(), amsgrad(), or("weight_decay", json!(0.004), tunable(number(0.0, 1.0)), doc)], common(0.001)].concat()),
        ("NadamOptimizer", vec!["nadam"], "Adam with Nesterov's momentum (Dozat 2016).", with([moments(0.999), vec![epsilon()]].concat())),
        ("AdamaxOptimizer", vec!["adamax"], "Adam with the infinity norm (Kingma and Ba 2014).", with([moments(0.999), vec![epsilon()]].concat())),
        ("AdagradOptimizer", vec!["adagrad"], "Adagrad (Duchi et al. 2011).", with(vec![or("initial_accumulator_value", json!(0.1), tunable(number(0.0, limits::CLIP_MAX)), "Initial value of the sum of squares."), epsilon()])),
        ("AdadeltaOptimizer", vec!["adadelta"], "Adadelta (Zeiler 2012).", with(vec![decay("rho", 0.95, "Decay of the mean squares."), epsilon()])),
        ("LionOptimizer", vec!["lion"], "Lion (Chen et al. 2023).", with(moments(0.99))),
    ];
    let mut optimizers = named("Optimizer", "An optimiser: its name, or an object with its arguments.", &all(OPTIMIZERS), kinds);
    if let Some(any) = optimizers[0].1["oneOf"].as_array_mut() {
        any.push(refer("OptimizerReference"));
    }
    optimizers.push(("OptimizerReference", object("An optimiser that is chosen by a hyperparameter.", vec![
        must("hp", json!({"type": "string"}), "The name of a hyperparameter that is active here; without cases, its values are names of optimisers."),
        may("cases", map(refer("Optimizer")), "For each of its values, as a string: an optimiser."),
    ])));
    optimizers
}

#[rustfmt::skip] // A table: one line for each field.
fn schedules() -> Vec<(&'static str, Json)> {
    let rate = || tunable(number(0.0, limits::LEARNING_RATE_MAX));
    let initial = || must("initial_learning_rate", rate(), "The learning rate at the first step.");
    let steps = |name: &'static str, doc: &str| must(name, tunable(integer(1, limits::EXACT_INTEGER_MAX)), doc);
    let factor = || tunable(number(0.0, limits::SCHEDULE_FACTOR_MAX));
    let alpha = || or("alpha", json!(0), tunable(number(0.0, 1.0)), "The fraction of the learning rate that is left at the end.");
    let staircase = || or("staircase", json!(false), tunable(boolean()), "Whether it changes only at the end of each decay_steps.");
    let step = || integer(0, limits::EXACT_INTEGER_MAX);
    named("Schedule", "A learning rate that depends on the step.", &[], vec![
        ("ExponentialDecay", vec!["exponential_decay"], "initial * decay_rate ^ (step / decay_steps).", vec![initial(), steps("decay_steps", "Steps after which it has been multiplied once."), must("decay_rate", factor(), "The factor."), staircase()]),
        ("PolynomialDecay", vec!["polynomial_decay"], "(initial - end) * (1 - step / decay_steps) ^ power + end.", vec![
            initial(), steps("decay_steps", "Steps after which end_learning_rate is reached."),
            or("end_learning_rate", json!(0.0001), rate(), "The learning rate that is reached."),
            or("power", json!(1), factor(), "The exponent: 1 is a straight line."),
            or("cycle", json!(false), tunable(boolean()), "Whether it starts again after the end."),
        ]),
        ("InverseTimeDecay", vec!["inverse_time_decay"], "initial / (1 + decay_rate * step / decay_steps).", vec![initial(), steps("decay_steps", "Steps after which the divisor has grown once."), must("decay_rate", factor(), "The number that the divisor grows by."), staircase()]),
        ("PiecewiseConstantDecay", vec!["piecewise_constant_decay"], "A constant learning rate in each of several pieces.", vec![
            must("boundaries", array(tunable(step()), 1, limits::SCHEDULE_PIECES_MAX - 1), "The last step of each piece except the last one, in rising order."),
            must("values", array(rate(), 1, limits::SCHEDULE_PIECES_MAX), "The learning rate of each piece: one value more than there are boundaries."),
        ]),
        ("CosineDecay", vec!["cosine_decay"], "Falls along half a cosine wave, after a linear rise if there is a warm-up.", vec![
            initial(), steps("decay_steps", "Steps of the fall."), alpha(),
            may("warmup_target", optional(number(0.0, limits::LEARNING_RATE_MAX)), "The learning rate at the end of the warm-up. Left out: no warm-up."),
            or("warmup_steps", json!(0), tunable(step()), "Steps of the warm-up."),
        ]),
        ("CosineDecayRestarts", vec!["cosine_decay_restarts"], "Half cosine waves, one after the other.", vec![
            initial(), steps("first_decay_steps", "Steps of the first wave."),
            or("t_mul", json!(2), tunable(number(1.0, limits::SCHEDULE_FACTOR_MAX)), "How many times as long each further wave is."),
            or("m_mul", json!(1), factor(), "How many times as high each further wave starts."),
            alpha(),
        ]),
    ])
}

#[rustfmt::skip] // A table: one line for each field.
fn losses() -> Vec<(&'static str, Json)> {
    let plain = vec!["mean_squared_error", "mse", "mean_absolute_error", "mae", "log_cosh", "kl_divergence", "hinge", "poisson"];
    let logits = || or("from_logits", json!(false), tunable(boolean()), "Whether the outputs are logits rather than probabilities.");
    let smoothing = |doc: &str| or("label_smoothing", json!(0), tunable(number(0.0, 1.0)), doc);
    named("Loss", "A loss: its name, or an object with its arguments.", &all(LOSSES), vec![
        ("PlainLoss", plain, "A loss without arguments.", vec![]),
        ("SparseCategoricalCrossentropy", vec!["sparse_categorical_crossentropy"], "Cross-entropy against class numbers.", vec![logits()]),
        ("CategoricalCrossentropy", vec!["categorical_crossentropy"], "Cross-entropy against one-hot labels; class numbers are made one-hot.", vec![logits(), smoothing("How much of each label is spread over all classes.")]),
        ("BinaryCrossentropy", vec!["binary_crossentropy"], "Cross-entropy of two classes, or of each class separately.", vec![logits(), smoothing("How far labels are moved towards 1/2.")]),
        ("Huber", vec!["huber"], "Quadratic up to delta, linear beyond it.", vec![or("delta", json!(1), tunable(number(limits::EPSILON_MIN, limits::WEIGHT_START_MAX)), "The difference at which the loss becomes linear.")]),
    ])
}

#[rustfmt::skip] // A table: one line for each field.
fn metrics() -> Vec<(&'static str, Json)> {
    let (top_k, plain) = all(METRICS).into_iter().partition(|name| name.contains("top_k"));
    named("Metric", "A metric: its name, or an object with its arguments.", &all(METRICS), vec![
        ("PlainMetric", plain, "A metric without arguments.", vec![]),
        ("TopKMetric", top_k, "The fraction of rows whose class is among the k largest outputs.", vec![or("k", json!(5), integer(1, i64::from(limits::DATASET_CLASSES_MAX)), "How many of the largest outputs count; the same for all trials.")]),
    ])
}

#[rustfmt::skip] // A table: one line for each field.
fn callbacks() -> Vec<(&'static str, Json)> {
    let epochs = |name: &'static str, default: i64, doc: &str| or(name, json!(default), tunable(integer(0, limits::EPOCHS_MAX)), doc);
    let monitor = || vec![
        or("monitor", json!("val_loss"), logged(), "The logged metric that is watched."),
        or("mode", json!("auto"), tunable(names(Mode::NAMES)), "Which way is better; auto: the metric's own direction."),
    ];
    let min_delta = |default: f64| or("min_delta", json!(default), tunable(number(0.0, limits::MONITORED_MAX)), "A change of at most this is not an improvement.");
    named("Callback", "A callback: its name, or an object with its arguments.", &all(CALLBACKS), vec![
        ("EarlyStopping", vec!["early_stopping"], "Ends the training when a metric no longer improves.", [monitor(), vec![
            min_delta(0.0), epochs("patience", 0, "Epochs without improvement after which training ends."),
            may("baseline", optional(number(-limits::MONITORED_MAX, limits::MONITORED_MAX)), "An improvement counts only if it beats this."),
            may("restore_best_weights", constant_of("boolean", json!(true)), "A trial always keeps the weights of its best epoch by the objective; this is accepted only if the monitor is the objective."),
            epochs("start_from_epoch", 0, "Epochs before this one are ignored, counted from 0."),
        ]].concat()),
        ("ReduceLrOnPlateau", vec!["reduce_lr_on_plateau"], "Lowers the learning rate when a metric no longer improves. Excludes a schedule.", [monitor(), vec![
            or("factor", json!(0.1), tunable(number(0.0, limits::PLATEAU_FACTOR_MAX)), "What the learning rate is multiplied by."),
            epochs("patience", 10, "Epochs without improvement after which the learning rate is lowered."),
            min_delta(1e-4),
            epochs("cooldown", 0, "Epochs after a change that are not counted."),
            or("min_lr", json!(0), tunable(number(0.0, limits::LEARNING_RATE_MAX)), "The learning rate is never lowered below this."),
        ]].concat()),
        ("TerminateOnNan", vec!["terminate_on_nan"], "Ends the training when the loss or a metric is no longer finite: the trial completes with its best epoch so far. Without this callback, or without such an epoch, the trial fails as `diverged` and has no value.", vec![]),
    ])
}
