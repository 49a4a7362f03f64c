//! Keras's optimisers (<https://keras.io/api/optimizers/>).

use super::Schedule;
use crate::document::{Fields, FromDocument, Place, Reader, bounded, read_named};
use crate::limits;

/// An optimiser with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    /// The rule that turns a gradient into a step.
    pub rule: Rule,
    /// The step size.
    pub learning_rate: Schedule,
    /// The fraction of each weight, times the learning rate, that is subtracted before each step;
    /// none means no decay.
    pub weight_decay: Option<f64>,
    /// How gradients are clipped.
    pub clip: Option<Clip>,
    /// The moving average of the weights that is validated and kept, if there is one.
    pub ema: Option<Ema>,
}

/// How gradients are clipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// `clipnorm`: the largest norm of the gradient of each weight.
    Norm(f64),
    /// `clipvalue`: the largest absolute value in a gradient.
    Value(f64),
    /// `global_clipnorm`: the largest norm of all gradients together.
    GlobalNorm(f64),
}

/// A moving average of the weights, which replaces them at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ema {
    /// The fraction of the average that is kept at each step, in [0, 1].
    pub momentum: f64,
    /// Every this many steps the average replaces the weights; none means at the end only.
    pub overwrite_frequency: Option<u64>,
}

/// The rule that turns a gradient into a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Gradient descent with momentum.
    Sgd {
        /// The fraction of the last step that is kept.
        momentum: f64,
        /// Whether the momentum looks ahead.
        nesterov: bool,
    },
    /// Hinton 2012.
    Rmsprop {
        /// Decay of the mean square.
        rho: f64,
        /// The fraction of the last step that is kept.
        momentum: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
        /// Whether the mean gradient is subtracted.
        centered: bool,
    },
    /// Kingma and Ba 2014.
    Adam {
        /// Decay of the first moment.
        beta_1: f64,
        /// Decay of the second moment.
        beta_2: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
        /// Whether the largest second moment so far is used (Reddi et al. 2018).
        amsgrad: bool,
    },
    /// Loshchilov and Hutter 2017: Adam with decoupled weight decay.
    AdamW {
        /// Decay of the first moment.
        beta_1: f64,
        /// Decay of the second moment.
        beta_2: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
        /// Whether the largest second moment so far is used (Reddi et al. 2018).
        amsgrad: bool,
    },
    /// Dozat 2016: Adam with Nesterov's momentum.
    Nadam {
        /// Decay of the first moment.
        beta_1: f64,
        /// Decay of the second moment.
        beta_2: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
    },
    /// Kingma and Ba 2014, with the infinity norm.
    Adamax {
        /// Decay of the first moment.
        beta_1: f64,
        /// Decay of the norm.
        beta_2: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
    },
    /// Duchi et al. 2011.
    Adagrad {
        /// Initial value of the sum of squares.
        initial_accumulator_value: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
    },
    /// Zeiler 2012.
    Adadelta {
        /// Decay of the mean squares.
        rho: f64,
        /// Keeps the quotient finite.
        epsilon: f64,
    },
    /// Chen et al. 2023: the sign of a momentum.
    Lion {
        /// The fraction of a step that comes from the momentum.
        beta_1: f64,
        /// Decay of the momentum.
        beta_2: f64,
    },
}

/// A number that an optimiser keeps for each weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// Keras's name.
    pub name: &'static str,
    /// Its initial value.
    pub start: f64,
    /// Whether this optimiser keeps it, and the argument that decides this; none if it always keeps
    /// it.
    condition: Option<(&'static str, bool)>,
}

impl Slot {
    const fn new(name: &'static str) -> Slot {
        Slot { name, start: 0.0, condition: None }
    }

    /// A slot that is kept if `argument` asks for it.
    const fn kept_for(name: &'static str, argument: &'static str, kept: bool) -> Slot {
        Slot { name, start: 0.0, condition: Some((argument, kept)) }
    }

    fn is_kept(&self) -> bool {
        self.condition.is_none_or(|(_, kept)| kept)
    }
}

impl Optimizer {
    /// The numbers it keeps for each weight, in the order of the trainer's kernels: the slots of
    /// the rule, then the average.
    pub fn slots(&self) -> Vec<Slot> {
        self.possible_slots().into_iter().filter(Slot::is_kept).collect()
    }

    /// The numbers it keeps with these or other arguments.
    fn possible_slots(&self) -> Vec<Slot> {
        let mut slots = self.rule.possible_slots();
        slots.push(Slot::kept_for("average", "use_ema", self.ema.is_some()));
        slots
    }
}

impl Rule {
    fn possible_slots(&self) -> Vec<Slot> {
        match *self {
            Rule::Sgd { momentum, .. } => vec![Slot::kept_for("momentum", "momentum", momentum != 0.0)],
            Rule::Rmsprop { momentum, centered, .. } => vec![
                Slot::new("velocity"),
                Slot::kept_for("momentum", "momentum", momentum != 0.0),
                Slot::kept_for("average_gradient", "centered", centered),
            ],
            Rule::Adam { amsgrad, .. } | Rule::AdamW { amsgrad, .. } => vec![
                Slot::new("momentum"),
                Slot::new("velocity"),
                Slot::kept_for("velocity_hat", "amsgrad", amsgrad),
            ],
            Rule::Nadam { .. } => vec![Slot::new("momentum"), Slot::new("velocity")],
            Rule::Adamax { .. } => vec![Slot::new("momentum"), Slot::new("norm")],
            Rule::Adagrad { initial_accumulator_value, .. } => {
                vec![Slot { start: initial_accumulator_value, ..Slot::new("accumulator") }]
            }
            Rule::Adadelta { .. } => {
                vec![Slot::new("accumulated_grad"), Slot::new("accumulated_delta_var")]
            }
            Rule::Lion { .. } => vec![Slot::new("momentum")],
        }
    }

    /// Keras's name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Rule::Sgd { .. } => "sgd",
            Rule::Rmsprop { .. } => "rmsprop",
            Rule::Adam { .. } => "adam",
            Rule::AdamW { .. } => "adamw",
            Rule::Nadam { .. } => "nadam",
            Rule::Adamax { .. } => "adamax",
            Rule::Adagrad { .. } => "adagrad",
            Rule::Adadelta { .. } => "adadelta",
            Rule::Lion { .. } => "lion",
        }
    }
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
    /// The initial value of a sum of squares.
    Accumulator(f64), 0.0, limits::CLIP_MAX
}
bounded! {
    /// A fraction of each weight.
    WeightDecay(f64), 0.0, 1.0
}
bounded! {
    /// The largest norm or absolute value of gradients.
    Bound(f64), limits::EPSILON_MIN, limits::CLIP_MAX
}
bounded! {
    /// The momentum of an average.
    Momentum(f64), 0.0, 1.0
}
bounded! {
    /// Steps between two replacements of the weights by the average.
    Frequency(i64), 1, limits::EXACT_INTEGER_MAX
}

/// Keras's optimisers.
pub(crate) const OPTIMIZERS: &[(&str, Reader<Optimizer>)] = &[
    ("sgd", |fields| {
        let (momentum, nesterov) = (fields.or("momentum", Decay(0.0)), fields.or("nesterov", false));
        let rule =
            momentum.zip(nesterov).map(|(momentum, nesterov)| Rule::Sgd { momentum: momentum.0, nesterov });
        optimizer(fields, 0.01, rule)
    }),
    ("rmsprop", |fields| {
        let averages = fields.or("rho", Decay(0.9)).zip(fields.or("momentum", Decay(0.0)));
        let rest = epsilon(fields).zip(fields.or("centered", false));
        let rule = averages.zip(rest).map(|((rho, momentum), (epsilon, centered))| Rule::Rmsprop {
            rho: rho.0,
            momentum: momentum.0,
            epsilon,
            centered,
        });
        optimizer(fields, 0.001, rule)
    }),
    ("adam", |fields| {
        let (moments, amsgrad) = (moments(fields), fields.or("amsgrad", false));
        let rule = moments.zip(amsgrad).map(|([beta_1, beta_2, epsilon], amsgrad)| Rule::Adam {
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
        });
        optimizer(fields, 0.001, rule)
    }),
    ("adamw", |fields| {
        let (moments, amsgrad) = (moments(fields), fields.or("amsgrad", false));
        let rule = moments.zip(amsgrad).map(|([beta_1, beta_2, epsilon], amsgrad)| Rule::AdamW {
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
        });
        // Without a decay it would be adam; Keras refuses null too.
        let weight_decay = fields.or("weight_decay", WeightDecay(0.004));
        decayed(fields, 0.001, rule, weight_decay.map(Some))
    }),
    ("nadam", |fields| {
        let rule = moments(fields).map(|[beta_1, beta_2, epsilon]| Rule::Nadam { beta_1, beta_2, epsilon });
        optimizer(fields, 0.001, rule)
    }),
    ("adamax", |fields| {
        let rule = moments(fields).map(|[beta_1, beta_2, epsilon]| Rule::Adamax { beta_1, beta_2, epsilon });
        optimizer(fields, 0.001, rule)
    }),
    ("adagrad", |fields| {
        let initial = fields.or("initial_accumulator_value", Accumulator(0.1)).zip(epsilon(fields));
        let rule =
            initial.map(|(initial, epsilon)| Rule::Adagrad { initial_accumulator_value: initial.0, epsilon });
        optimizer(fields, 0.001, rule)
    }),
    ("adadelta", |fields| {
        let rule = fields
            .or("rho", Decay(0.95))
            .zip(epsilon(fields))
            .map(|(rho, epsilon)| Rule::Adadelta { rho: rho.0, epsilon });
        optimizer(fields, 0.001, rule)
    }),
    ("lion", |fields| {
        let betas = fields.or("beta_1", Decay(0.9)).zip(fields.or("beta_2", Decay(0.99)));
        optimizer(
            fields,
            0.001,
            betas.map(|(beta_1, beta_2)| Rule::Lion { beta_1: beta_1.0, beta_2: beta_2.0 }),
        )
    }),
];

impl FromDocument for Optimizer {
    /// A name, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Optimizer> {
        read_named(
            place,
            OPTIMIZERS,
            (
                &["ftrl", "adafactor", "lamb", "muon", "loss_scale_optimizer"],
                &["gradient_accumulation_steps", "loss_scale_factor"],
            ),
        )
    }
}

/// The arguments of every optimiser except adamw, which has another decay.
fn optimizer(fields: &mut Fields, learning_rate: f64, rule: Option<Rule>) -> Option<Optimizer> {
    let weight_decay = fields.or::<Option<WeightDecay>>("weight_decay", None);
    decayed(fields, learning_rate, rule, weight_decay)
}

/// The arguments of every optimiser except its own and its weight decay.
fn decayed(
    fields: &mut Fields,
    learning_rate: f64,
    rule: Option<Rule>,
    weight_decay: Option<Option<WeightDecay>>,
) -> Option<Optimizer> {
    let learning_rate = fields.or("learning_rate", Schedule::Constant(learning_rate));
    let (clip, ema) = (clip(fields), ema(fields));
    let weight_decay = weight_decay?.map(|decay| decay.0);
    Some(Optimizer { rule: rule?, learning_rate: learning_rate?, weight_decay, clip: clip?, ema: ema? })
}

fn moments(fields: &mut Fields) -> Option<[f64; 3]> {
    let (beta_1, beta_2) = (fields.or("beta_1", Decay(0.9)), fields.or("beta_2", Decay(0.999)));
    let epsilon = epsilon(fields);
    Some([beta_1?.0, beta_2?.0, epsilon?])
}

fn epsilon(fields: &mut Fields) -> Option<f64> {
    fields.or("epsilon", Epsilon(1e-7)).map(|epsilon| epsilon.0)
}

/// The clipping; at most one of the three can be given, as in Keras.
fn clip(fields: &mut Fields) -> Option<Option<Clip>> {
    let kind: [fn(f64) -> Clip; 3] = [Clip::Norm, Clip::Value, Clip::GlobalNorm];
    let mut clip = Some(None);
    for (name, kind) in ["clipnorm", "clipvalue", "global_clipnorm"].into_iter().zip(kind) {
        let Some(place) = fields.get(name) else { continue };
        match (place.read::<Option<Bound>>(), clip) {
            (Some(Some(_)), Some(Some(_))) => {
                place.invalid("only one of clipnorm, clipvalue and global_clipnorm can be given");
                clip = None;
            }
            (Some(Some(bound)), Some(None)) => clip = Some(Some(kind(bound.0))),
            (Some(_), _) => {}
            (None, _) => clip = None,
        }
    }
    clip
}

fn ema(fields: &mut Fields) -> Option<Option<Ema>> {
    let used = fields.or("use_ema", false);
    let momentum = fields.or("ema_momentum", Momentum(0.99));
    let frequency = fields.or::<Option<Frequency>>("ema_overwrite_frequency", None);
    let ema = Ema { momentum: momentum?.0, overwrite_frequency: frequency?.map(|steps| steps.0 as u64) };
    Some(used?.then_some(ema))
}

/// The least and the largest number of slots of an optimiser, over all values of its arguments.
pub(crate) struct SlotCount {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl FromDocument for SlotCount {
    fn from_place(place: &Place) -> Option<SlotCount> {
        let optimizer = Optimizer::from_place(place)?;
        let (mut least, mut most) = (0, 0);
        for slot in optimizer.possible_slots() {
            let argument = slot.condition.and_then(|(argument, _)| place.at(&format!("/{argument}")));
            let kept: Vec<bool> = match argument {
                Some(argument) => argument.read_all::<IsSet>().into_iter().map(|IsSet(set)| set).collect(),
                None => vec![slot.is_kept()],
            };
            least += u64::from(!kept.is_empty() && kept.iter().all(|kept| *kept));
            most += u64::from(kept.contains(&true));
        }
        Some(SlotCount { least, most })
    }
}

/// Whether a switch is on or a number is not 0.
struct IsSet(bool);

impl FromDocument for IsSet {
    fn from_place(place: &Place) -> Option<IsSet> {
        if place.json().is_boolean() {
            return bool::from_place(place).map(IsSet);
        }
        f64::from_place(place).map(|number| IsSet(number != 0.0))
    }
}
