//! The layers of the network as a flat list: repeats are unrolled and choices between layers
//! expanded. Each layer has the conditions under which a trial uses it.

use serde_json::Value as Json;

use crate::context::Context;
use crate::document::{FromDocument, Mention, Place, Reading, Repetition, Scope, has_key};
use crate::limits;
use crate::space::{Condition, Domain, Point, SearchSpace};
use crate::value::Value;

use super::{Activation, Layer};

/// The declared network, as a flat list of layers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Network {
    /// All layers that a trial may use, in order.
    pub layers: Vec<FlatLayer>,
}

/// A layer that a trial may use.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatLayer {
    /// A trial uses it if all of these hold.
    pub when: Vec<Condition>,
    /// Its place in the document: a JSON pointer.
    pub pointer: String,
    /// The repetition that it belongs to.
    pub repetition: Option<Repetition>,
    /// The hyperparameters that decide its shape, its size or whether it fits, except those in
    /// `when`.
    pub structural: Vec<usize>,
    /// Whether hyperparameters can choose an activation that [keeps its
    /// input](Activation::needs_input).
    pub may_need_input: bool,
}

impl Network {
    /// The network at `place`, or none after reporting everything wrong with it.
    pub fn parse(place: &Place, reading: &Reading) -> Option<Network> {
        let mut network = Network::default();
        let mut sound = true;
        for item in place.items(limits::LAYERS_MAX)? {
            let repeated = item.json().get("repeat").is_some();
            sound &=
                if repeated { network.push_repeat(&item, reading) } else { network.push(&item, reading) }
                    .is_some();
        }
        if network.layers.is_empty() && sound {
            place.invalid("needs at least one layer");
            return None;
        }
        sound.then_some(network)
    }

    /// A layer, or a choice between layers (null for none).
    fn push(&mut self, place: &Place, reading: &Reading) -> Option<()> {
        if let Some(branches) = place.branches() {
            let mut sound = !branches.is_empty();
            for branch in branches.iter().filter(|branch| !branch.json().is_null()) {
                sound &= self.push(branch, reading).is_some();
            }
            return sound.then_some(());
        }
        if place.json().get("layers").is_some() {
            place.invalid("`layers` belongs to a `repeat`; write a layer without it");
            return None;
        }
        let place = match place.json().get("when") {
            Some(when) => place.within(context_of(&place.child("when", when))?),
            None => place.clone(),
        };
        let before = reading.mentions().len();
        let layer = Layer::from_place(&place)?;
        if self.layers.len() >= limits::FLAT_LAYERS_MAX {
            place.invalid(format!(
                "the network has more than {} layers, repetitions included",
                limits::FLAT_LAYERS_MAX
            ));
            return None;
        }
        let mentions = &reading.mentions()[before..];
        self.layers.push(FlatLayer {
            when: place.context().conditions().to_vec(),
            pointer: place.pointer().to_owned(),
            repetition: place.repetition(),
            structural: structural(&layer, &place, mentions),
            may_need_input: may_need_input(&place, mentions),
        });
        Some(())
    }

    /// `{"repeat": count, "layers": […]}`.
    fn push_repeat(&mut self, place: &Place, reading: &Reading) -> Option<()> {
        let mut fields = place.fields()?;
        let (count, layers) = (fields.required("repeat"), fields.required("layers"));
        let when = fields.get("when");
        fields.finish(&[]);
        let (count, layers) = (count?, layers?);
        let space = place.scope()?.space;
        let context = match when {
            Some(when) => context_of(&when)?,
            None => place.context().clone(),
        };
        let (hyperparameter, max) = repeat_count(&count.within(context.clone()), space)?;
        let mut sound = true;
        // Anything wrong in one repetition is wrong in the next too.
        for index in 0..max {
            if !sound {
                break;
            }
            let context = match hyperparameter {
                Some(at) => context.restrict(space, &space.reaches(at, index)),
                None => context.clone(),
            };
            if context.is_contradictory() {
                break; // The count never reaches this repetition here.
            }
            let inside = layers.within(context).repeated(Repetition { count: hyperparameter, index });
            for layer in inside.items(limits::LAYERS_MAX)? {
                if layer.json().get("repeat").is_some() {
                    layer.invalid("a `repeat` cannot be inside another `repeat`");
                    sound = false;
                } else {
                    sound &= self.push(&layer, reading).is_some();
                }
            }
        }
        sound.then_some(())
    }

    /// The layers of a trial, in order; none after reporting what does not fit. `root` is the study
    /// that this network was parsed from, with the point of the trial.
    pub fn layers_at(&self, root: &Place) -> Option<Vec<Layer>> {
        let Scope { space, point } = root.scope()?;
        let there =
            self.layers.iter().filter(|layer| space.holds(&layer.when, point.unwrap_or(&Point::default())));
        let layers: Vec<Option<Layer>> = there.map(|layer| layer.read(root)).collect();
        layers.into_iter().collect()
    }
}

impl FlatLayer {
    /// This layer with the arguments it has at `point`, which needs values only for the
    /// hyperparameters that the layer mentions. Errors: what is wrong with an argument, in words.
    pub fn at(&self, document: &Json, space: &SearchSpace, point: &Point) -> Result<Layer, String> {
        let reading = Reading::default();
        let layer = self.read(&reading.root(document, Some(Scope { space, point: Some(point) })));
        layer.ok_or_else(|| {
            let problem = reading.into_problems().into_iter().next();
            problem.map_or("it cannot be read".to_owned(), |problem| {
                let argument =
                    problem.pointer.strip_prefix(&self.pointer).unwrap_or_default().trim_start_matches('/');
                if argument.is_empty() { problem.detail } else { format!("{argument} {}", problem.detail) }
            })
        })
    }

    /// The place of this layer below the study's `root`, as the parser visited it: with the
    /// repetition, and with what is known about the hyperparameters there. None if the document has
    /// nothing at this place.
    pub(crate) fn place<'a>(&self, root: &Place<'a>) -> Option<Place<'a>> {
        let (place, space) = (root.at(&self.pointer)?, root.scope()?.space);
        let place = place.within(
            self.when
                .iter()
                .fold(Context::default(), |context, condition| context.restrict(space, condition)),
        );
        Some(self.repetition.map_or(place.clone(), |repetition| place.repeated(repetition)))
    }

    /// This layer, read below the study's `root`; none after reporting what is wrong.
    fn read(&self, root: &Place) -> Option<Layer> {
        Layer::from_place(&self.place(root)?)
    }
}

/// The hyperparameters mentioned by `layer` at `place` that decide its shape, its size or whether
/// it fits.
fn structural(layer: &Layer, place: &Place, mentions: &[Mention]) -> Vec<usize> {
    let of_shape = mentions.iter().filter(|mention| {
        // The layer inside a Bidirectional has arguments of its own.
        let mut steps =
            mention.pointer[place.pointer().len()..].split('/').skip(1).skip_while(|step| *step == "wrapped");
        let argument = steps.next().unwrap_or_default();
        // A constraint may use dimensions that a weight does not have.
        let of_dimensions = argument.ends_with("_constraint")
            && (steps.clone().any(|step| step == "axis") || names_axis(place, mention));
        // The softmax of a row with one number is constant.
        let of_row = chooses_activation(place, mention, Activation::is_over_row);
        layer.is_structural(argument)
            || of_dimensions
            || of_row
            || (is_of_vector(argument) && is_choice(steps))
    });
    let mut structural: Vec<usize> = of_shape.map(|mention| mention.hyperparameter).collect();
    structural.sort_unstable();
    structural.dedup();
    structural
}

/// Whether a hyperparameter decides if a layer keeps the [input of an
/// activation](Activation::needs_input).
fn may_need_input(place: &Place, mentions: &[Mention]) -> bool {
    mentions.iter().any(|mention| chooses_activation(place, mention, Activation::needs_input))
}

/// Whether the hyperparameter can choose such an activation.
fn chooses_activation(place: &Place, mention: &Mention, is_such: fn(Activation) -> bool) -> bool {
    let mut steps = mention.pointer[place.pointer().len()..].split('/').skip(1);
    let of_activation =
        steps.find(|step| *step != "wrapped").is_some_and(|argument| argument.ends_with("activation"));
    let named = |name: &str| Activation::parse(name).is_some_and(is_such);
    let listed =
        || place.scope().and_then(|scope| scope.space.listed(mention.hyperparameter)).unwrap_or_default();
    let cases = || object_of(place, mention).and_then(|object| object["cases"].as_object());
    of_activation
        && (listed().iter().any(|value| matches!(value, Value::Text(name) if named(name)))
            || cases().is_some_and(|cases| cases.values().filter_map(Json::as_str).any(named)))
}

/// The object that mentions the hyperparameter.
fn object_of<'a>(place: &Place<'a>, mention: &Mention) -> Option<&'a Json> {
    let within = mention.pointer.strip_prefix(place.pointer())?.strip_suffix("/hp")?;
    place.json().pointer(within)
}

/// Whether one of the hyperparameter's cases names the dimensions that it uses. A case that is only
/// a name uses dimensions that every weight has.
fn names_axis(place: &Place, mention: &Mention) -> bool {
    object_of(place, mention).is_some_and(|object| has_key(&object["cases"], "axis"))
}

/// Whether the argument is the initialiser of a weight that may have only one dimension: one of the
/// initialisers needs two.
fn is_of_vector(argument: &str) -> bool {
    ["bias", "beta", "gamma", "alpha", "moving_mean", "moving_variance"]
        .iter()
        .any(|weight| argument.strip_prefix(weight).is_some_and(|end| end == "_initializer"))
}

/// Whether a hyperparameter mentioned after these steps replaces a whole value, rather than one of
/// its arguments.
fn is_choice<'a>(mut steps: impl Iterator<Item = &'a str>) -> bool {
    loop {
        match steps.next() {
            Some("hp") => return true,
            Some("cases") => steps.next(),
            _ => return false,
        };
    }
}

/// The context in which `when` holds.
fn context_of(when: &Place) -> Option<Context> {
    let space = when.scope()?.space;
    let conditions = crate::space::read_when(when)?;
    let context = conditions
        .iter()
        .fold(when.context().clone(), |context, condition| context.restrict(space, condition));
    when.spend(context.conditions().iter().map(|known| known.values.len()).sum())?;
    if context.is_contradictory() {
        when.invalid(
            "can never be true: the conditions around it, or those of its hyperparameters, exclude it",
        );
        return None;
    }
    Some(context)
}

/// The hyperparameter that is the count, if there is one, and the largest number of repetitions.
fn repeat_count(place: &Place, space: &SearchSpace) -> Option<(Option<usize>, usize)> {
    if place.json().is_object() {
        let at = place.count()?;
        return match space.hyperparameters()[at].domain {
            Domain::Int { min, max, .. } if min >= 0 && max <= limits::REPEATS_MAX as i64 => {
                Some((Some(at), max as usize))
            }
            _ => {
                place.invalid(format!("`repeat` needs an int between 0 and {}", limits::REPEATS_MAX));
                None
            }
        };
    }
    crate::document::within::<i64>(place, (1, limits::REPEATS_MAX as i64)).map(|count| (None, count as usize))
}
