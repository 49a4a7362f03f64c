//! The learning rate over the steps: Keras's schedules
//! (<https://keras.io/api/optimizers/learning_rate_schedules/>), in double precision.

use std::f64::consts::PI;

use crate::document::{Fields, FromDocument, Place, Reader, bounded, read_named};
use crate::limits;

/// The learning rate at each step.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// The same at all steps.
    Constant(f64),
    /// `initial · rate^(step / steps)`.
    ExponentialDecay {
        /// The learning rate at step 0.
        initial_learning_rate: f64,
        /// Steps after which it has been multiplied by the rate once.
        decay_steps: u64,
        /// The factor.
        decay_rate: f64,
        /// Whether it changes only at the end of each `decay_steps`.
        staircase: bool,
    },
    /// `(initial - end) (1 - step / steps)^power + end`.
    PolynomialDecay {
        /// The learning rate at step 0.
        initial_learning_rate: f64,
        /// Steps after which the end is reached.
        decay_steps: u64,
        /// The learning rate that is reached.
        end_learning_rate: f64,
        /// The exponent: 1 is a straight line.
        power: f64,
        /// Whether it starts again after the end, over the next multiple of the steps; otherwise it
        /// stays there.
        cycle: bool,
    },
    /// `initial / (1 + rate · step / steps)`.
    InverseTimeDecay {
        /// The learning rate at step 0.
        initial_learning_rate: f64,
        /// Steps after which the divisor has grown by the rate once.
        decay_steps: u64,
        /// The number that the divisor grows by.
        decay_rate: f64,
        /// Whether it changes only at the end of each `decay_steps`.
        staircase: bool,
    },
    /// `values[i]` up to and including the step `boundaries[i]`, and the last value after that.
    PiecewiseConstantDecay {
        /// The last step of each piece except the last one, in rising order.
        boundaries: Vec<u64>,
        /// The learning rate of each piece: one value more than there are boundaries.
        values: Vec<f64>,
    },
    /// Falls along half a cosine wave (Loshchilov and Hutter 2016), after a linear rise if there is
    /// a warm-up.
    CosineDecay {
        /// The learning rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the fall.
        decay_steps: u64,
        /// The fraction of the learning rate that is left at the end.
        alpha: f64,
        /// The learning rate at which the rise ends and the fall begins; none means no warm-up.
        warmup_target: Option<f64>,
        /// Steps of the warm-up.
        warmup_steps: u64,
    },
    /// Half cosine waves, one after the other (Loshchilov and Hutter 2016).
    CosineDecayRestarts {
        /// The learning rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the first wave.
        first_decay_steps: u64,
        /// How many times as long each further wave is.
        t_mul: f64,
        /// How many times as high each further wave starts.
        m_mul: f64,
        /// The fraction of the learning rate that is left at the end.
        alpha: f64,
    },
}

impl Schedule {
    /// The learning rate at `step`, where 0 is the first update: Keras's `schedule(iterations)`.
    pub fn at(&self, step: u64) -> f64 {
        let fraction = |steps: u64| step as f64 / steps as f64;
        let stepped = |steps: u64, staircase: bool| {
            if staircase { libm::floor(fraction(steps)) } else { fraction(steps) }
        };
        match *self {
            Schedule::Constant(rate) => rate,
            Schedule::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => {
                initial_learning_rate * libm::pow(decay_rate, stepped(decay_steps, staircase))
            }
            Schedule::PolynomialDecay {
                initial_learning_rate,
                decay_steps,
                end_learning_rate,
                power,
                cycle,
            } => {
                let cycles = if cycle { step.div_ceil(decay_steps).max(1) as f64 } else { 1.0 };
                let done = (fraction(decay_steps) / cycles).min(1.0);
                (initial_learning_rate - end_learning_rate) * libm::pow(1.0 - done, power) + end_learning_rate
            }
            Schedule::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => {
                initial_learning_rate / (1.0 + decay_rate * stepped(decay_steps, staircase))
            }
            Schedule::PiecewiseConstantDecay { ref boundaries, ref values } => {
                values[boundaries.iter().take_while(|boundary| step > **boundary).count()]
            }
            Schedule::CosineDecay {
                initial_learning_rate, decay_steps, alpha, warmup_target: None, ..
            } => initial_learning_rate * cosine(fraction(decay_steps).min(1.0), 1.0, alpha),
            Schedule::CosineDecay {
                initial_learning_rate,
                warmup_target: Some(target),
                warmup_steps,
                ..
            } if step < warmup_steps => {
                (target - initial_learning_rate) * fraction(warmup_steps) + initial_learning_rate
            }
            Schedule::CosineDecay {
                decay_steps, alpha, warmup_target: Some(target), warmup_steps, ..
            } => {
                let done = (step - warmup_steps) as f64 / decay_steps as f64;
                target * cosine(done.min(1.0), 1.0, alpha)
            }
            Schedule::CosineDecayRestarts {
                initial_learning_rate,
                first_decay_steps,
                t_mul,
                m_mul,
                alpha,
            } => {
                let (restarts, done) = wave(fraction(first_decay_steps), t_mul);
                initial_learning_rate * cosine(done, libm::pow(m_mul, restarts), alpha)
            }
        }
    }

    /// Whether the learning rate is the same at all steps.
    pub fn is_constant(&self) -> bool {
        matches!(self, Schedule::Constant(_))
    }
}

/// The height that is left after the fraction `done` of a wave of this height.
fn cosine(done: f64, height: f64, alpha: f64) -> f64 {
    (1.0 - alpha) * 0.5 * height * (1.0 + libm::cos(PI * done)) + alpha
}

/// How many waves are over, and the fraction of the current one, after `waves` times the length of
/// the first.
fn wave(waves: f64, t_mul: f64) -> (f64, f64) {
    if t_mul == 1.0 {
        let over = libm::floor(waves);
        return (over, waves - over);
    }
    let begin = |over: f64| (1.0 - libm::pow(t_mul, over)) / (1.0 - t_mul);
    let over = libm::floor(libm::log(1.0 - waves * (1.0 - t_mul)) / libm::log(t_mul));
    // Rounding can make the quotient of two logarithms slightly smaller than the integer it should
    // be.
    let over = if begin(over + 1.0) <= waves { over + 1.0 } else { over };
    (over, (waves - begin(over)) / libm::pow(t_mul, over))
}

bounded! {
    /// A learning rate.
    Rate(f64), 0.0, limits::LEARNING_RATE_MAX
}
bounded! {
    /// Steps of a schedule.
    Steps(i64), 1, limits::EXACT_INTEGER_MAX
}
bounded! {
    /// A number of steps, or 0.
    Step(i64), 0, limits::EXACT_INTEGER_MAX
}
bounded! {
    /// A factor or an exponent of a schedule.
    Factor(f64), 0.0, limits::SCHEDULE_FACTOR_MAX
}
bounded! {
    /// How many times as long each further wave is; waves that become shorter would come to an end.
    Longer(f64), 1.0, limits::SCHEDULE_FACTOR_MAX
}
bounded! {
    /// A fraction.
    Fraction(f64), 0.0, 1.0
}

/// Keras's schedules.
const SCHEDULES: &[(&str, Reader<Schedule>)] = &[
    ("exponential_decay", |fields| {
        let (initial_learning_rate, decay_steps, decay_rate, staircase) = decay(fields)?;
        Some(Schedule::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase })
    }),
    ("polynomial_decay", polynomial_decay),
    ("inverse_time_decay", |fields| {
        let (initial_learning_rate, decay_steps, decay_rate, staircase) = decay(fields)?;
        Some(Schedule::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase })
    }),
    ("piecewise_constant_decay", piecewise_constant_decay),
    ("cosine_decay", cosine_decay),
    ("cosine_decay_restarts", cosine_decay_restarts),
];

impl FromDocument for Schedule {
    /// A number, or an object with `name` and arguments.
    fn from_place(place: &Place) -> Option<Schedule> {
        if place.json().is_string() || place.json().is_object() {
            return read_named(place, SCHEDULES, (&[], &[]));
        }
        Rate::from_place(place).map(|rate| Schedule::Constant(rate.0))
    }
}

fn initial(fields: &mut Fields) -> Option<f64> {
    fields.required("initial_learning_rate").and_then(|place| place.read::<Rate>()).map(|rate| rate.0)
}

fn steps(fields: &mut Fields, name: &'static str) -> Option<u64> {
    fields.required(name).and_then(|place| place.read::<Steps>()).map(|steps| steps.0 as u64)
}

fn decay(fields: &mut Fields) -> Option<(f64, u64, f64, bool)> {
    let (initial, steps) = (initial(fields), steps(fields, "decay_steps"));
    let rate = fields.required("decay_rate").and_then(|place| place.read::<Factor>());
    let staircase = fields.or("staircase", false);
    Some((initial?, steps?, rate?.0, staircase?))
}

fn polynomial_decay(fields: &mut Fields) -> Option<Schedule> {
    let (initial, steps) = (initial(fields), steps(fields, "decay_steps"));
    let end = fields.or("end_learning_rate", Rate(0.0001));
    let (power, cycle) = (fields.or("power", Factor(1.0)), fields.or("cycle", false));
    Some(Schedule::PolynomialDecay {
        initial_learning_rate: initial?,
        decay_steps: steps?,
        end_learning_rate: end?.0,
        power: power?.0,
        cycle: cycle?,
    })
}

fn piecewise_constant_decay(fields: &mut Fields) -> Option<Schedule> {
    let (boundaries, values) = (fields.required("boundaries"), fields.required("values"));
    let boundaries = boundaries.and_then(|place| rising(&place));
    let values_place = values?;
    let values = members::<Rate>(&values_place, limits::SCHEDULE_PIECES_MAX);
    let (boundaries, values) = (boundaries?, values?);
    if values.len() != boundaries.len() + 1 {
        values_place.invalid(format!(
            "needs {} values, one more than there are boundaries, not {}",
            boundaries.len() + 1,
            values.len()
        ));
        return None;
    }
    Some(Schedule::PiecewiseConstantDecay { boundaries, values: values.iter().map(|rate| rate.0).collect() })
}

/// Steps in rising order.
fn rising(place: &Place) -> Option<Vec<u64>> {
    let steps = members::<Step>(place, limits::SCHEDULE_PIECES_MAX - 1)?;
    if steps.is_empty() || !steps.is_sorted_by(|a, b| a < b) {
        place.invalid("needs one step or more, in rising order");
        return None;
    }
    Some(steps.iter().map(|step| step.0 as u64).collect())
}

fn members<T: FromDocument>(place: &Place, max: usize) -> Option<Vec<T>> {
    let members: Vec<Option<T>> = place.items(max)?.iter().map(Place::read).collect();
    members.into_iter().collect()
}

fn cosine_decay(fields: &mut Fields) -> Option<Schedule> {
    let (initial, steps) = (initial(fields), steps(fields, "decay_steps"));
    let alpha = fields.or("alpha", Fraction(0.0));
    let warmup_target = fields.or::<Option<Rate>>("warmup_target", None);
    let warmup_steps = fields.or("warmup_steps", Step(0));
    Some(Schedule::CosineDecay {
        initial_learning_rate: initial?,
        decay_steps: steps?,
        alpha: alpha?.0,
        warmup_target: warmup_target?.map(|target| target.0),
        warmup_steps: warmup_steps?.0 as u64,
    })
}

fn cosine_decay_restarts(fields: &mut Fields) -> Option<Schedule> {
    let (initial, steps) = (initial(fields), steps(fields, "first_decay_steps"));
    let (t_mul, m_mul) = (fields.or("t_mul", Longer(2.0)), fields.or("m_mul", Factor(1.0)));
    let alpha = fields.or("alpha", Fraction(0.0));
    Some(Schedule::CosineDecayRestarts {
        initial_learning_rate: initial?,
        first_decay_steps: steps?,
        t_mul: t_mul?.0,
        m_mul: m_mul?.0,
        alpha: alpha?.0,
    })
}
