//! Propagates shapes through every branch of the network, as sets of states.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::{Recipe, Totals, closure, compatibility, needs, read_at};
use crate::dataset::DatasetSchema;
use crate::document::{Place, Reading, Scope};
use crate::limits;
use crate::network::{FlatLayer, Layer};
use crate::shape::{Cost, Misfit, cost, cost_where, fitted};
use crate::space::Point;
use crate::study::Study;
use crate::training::Loss;
use crate::value::Value;

/// What distinguishes two paths through the network: what they have made so far, such as a shape,
/// and the values that later layers mention.
type Key<M> = (M, Point);

/// The joint totals of all paths that lead to a state.
#[derive(Clone, Default)]
pub(super) struct State {
    totals: Totals,
    /// The values along one of the paths, for messages.
    example: Point,
}

/// All states at one depth of the network, ordered so that messages are always the same.
pub(super) type States<M> = BTreeMap<Key<M>, State>;

/// Reports every branch that cannot work and returns the totals over all networks of the space;
/// none if there are too many states.
pub(super) fn follow(
    study: &Study,
    dataset: &DatasetSchema,
    recipe: &Recipe,
    root: &Place,
) -> Option<Totals> {
    let space = &study.space;
    let layers = &study.network.layers;
    let loss_needs = loss_needs(study);
    let needed_from = needed_from(layers.iter().map(|layer| needs(space, layer)), &loss_needs);
    let mut decided: BTreeSet<usize> = BTreeSet::new();
    let mut states = BTreeMap::from([(
        (dataset.shape.clone(), Point::default()),
        State { totals: Totals::of_input(recipe), ..State::default() },
    )]);
    let mut visits = 0;
    for (index, layer) in layers.iter().enumerate() {
        states = decide(study, states, &needs(space, layer), &mut decided)?;
        visits += states.len();
        if visits > limits::PREFLIGHT_VISITS_MAX {
            return None;
        }
        decided.retain(|at| needed_from[index + 1].contains(at));
        let mut layer = Variants {
            study,
            layer,
            structural: layer.structural.iter().copied().collect(),
            seen: HashMap::new(),
        };
        let mut next = BTreeMap::new();
        let mut misfits: BTreeMap<Misfit, Vec<Key<_>>> = BTreeMap::new();
        for ((shape, values), state) in &states {
            match layer.apply(shape, values) {
                Ok((output, [least, most])) => {
                    let totals = state.totals.plus(least, most, recipe);
                    merge(
                        &mut next,
                        (output, values.keep(&decided)),
                        State { totals, example: state.example.clone() },
                    );
                }
                Err(misfit) => misfits.entry(misfit).or_default().push((shape.clone(), values.clone())),
            }
        }
        if !misfits.is_empty() {
            let pointer = &layer.layer.pointer;
            report(study, &states, misfits, |Misfit { argument, reason }| {
                let place = root.at(&format!("{pointer}{argument}")).or_else(|| root.at(pointer));
                (place.unwrap_or_else(|| root.clone()), reason)
            });
            if states.len() > limits::PREFLIGHT_REPORTED_FROM_MAX {
                return None;
            }
        }
        states = next;
    }
    let states = decide(study, states, &loss_needs, &mut decided)?;
    check_outputs(study, dataset, root, &states);
    states.into_values().map(|state| state.totals).reduce(Totals::hull)
}

/// What a layer makes from a row: its shape with the least and the greatest cost, or why it cannot
/// work.
type Made = Result<(Vec<usize>, [Cost; 2]), Misfit>;

/// One layer in all its variants; each is computed once.
struct Variants<'a> {
    study: &'a Study,
    layer: &'a FlatLayer,
    structural: BTreeSet<usize>,
    seen: HashMap<Key<Vec<usize>>, Made>,
}

/// The least and the greatest cost of a layer whose activation may be open.
pub(super) fn costs(layer: &FlatLayer, concrete: &Layer, input: &[usize], output: &[usize]) -> [Cost; 2] {
    match layer.may_need_input {
        true => [false, true].map(|keeps_input| cost_where(concrete, input, output, keeps_input)),
        false => [cost(concrete, input, output); 2],
    }
}

impl Variants<'_> {
    fn apply(&mut self, shape: &[usize], values: &Point) -> Made {
        if !self.study.space.holds(&self.layer.when, values) {
            return Ok((shape.to_vec(), [Cost::default(); 2]));
        }
        let key = (shape.to_vec(), values.keep(&self.structural));
        if let Some(made) = self.seen.get(&key) {
            return made.clone();
        }
        let concrete = self.layer.at(self.study.document(), &self.study.space, values).map_err(Misfit::from);
        let made = concrete.and_then(|concrete| {
            let output = fitted(&concrete, shape)?;
            let costs = costs(self.layer, &concrete, shape, &output);
            Ok((output, costs))
        });
        self.seen.insert(key, made.clone());
        made
    }
}

/// The same states with values for the hyperparameters in `wanted`; none if they become too many.
pub(super) fn decide<M: Ord + Clone>(
    study: &Study,
    mut states: States<M>,
    wanted: &[usize],
    decided: &mut BTreeSet<usize>,
) -> Option<States<M>> {
    for at in wanted.iter().filter(|at| !decided.contains(at)) {
        let domain = &study.space.hyperparameters()[*at].domain;
        let count = domain.count().filter(|count| *count <= limits::PREFLIGHT_STATES_MAX as u64)?;
        let mut next = BTreeMap::new();
        for ((made, values), state) in states {
            if !study.space.is_active(*at, &values) {
                next.insert((made, values), state);
                continue;
            }
            for value in (0..count).map(|index| domain.value(index)) {
                let example = state.example.with(*at, value.clone());
                next.insert((made.clone(), values.with(*at, value)), State { example, ..state.clone() });
            }
            if next.len() > limits::PREFLIGHT_STATES_MAX {
                return None;
            }
        }
        states = next;
    }
    decided.extend(wanted);
    Some(states)
}

/// For each layer, the hyperparameters that it and everything after it need; at last, those needed
/// `after` the layers.
pub(super) fn needed_from(
    needs: impl DoubleEndedIterator<Item = Vec<usize>>,
    after: &[usize],
) -> Vec<BTreeSet<usize>> {
    let mut needed_from: Vec<BTreeSet<usize>> = vec![after.iter().copied().collect()];
    for needs in needs.rev() {
        let mut needed = needed_from.last().cloned().unwrap_or_default();
        needed.extend(needs);
        needed_from.push(needed);
    }
    needed_from.reverse();
    needed_from
}

/// Adds a state to those with the same key.
pub(super) fn merge<M: Ord>(states: &mut States<M>, key: Key<M>, state: State) {
    let totals = state.totals;
    let known = states.entry(key).or_insert(state);
    known.totals = known.totals.hull(totals);
}

/// The hyperparameters that decide which output the loss needs.
fn loss_needs(study: &Study) -> Vec<usize> {
    closure(&study.space, mentions_of_loss(study, &["from_logits", "label_smoothing", "delta"]).into_iter())
}

/// The hyperparameters that decide which loss it is and whether it takes logits.
pub(super) fn loss_mentions(study: &Study) -> Vec<usize> {
    mentions_of_loss(study, &["label_smoothing", "delta"])
}

/// The hyperparameters that the loss mentions outside of `arguments`. These change its numbers, not
/// what it compares.
fn mentions_of_loss(study: &Study, arguments: &[&str]) -> Vec<usize> {
    let reading = Reading::default();
    if let Some(place) =
        reading.root(study.document(), Some(Scope { space: &study.space, point: None })).at("/training/loss")
    {
        place.read_all::<Loss>();
    }
    let argument = |pointer: &str| pointer.split('/').any(|step| arguments.contains(&step));
    reading
        .mentions()
        .iter()
        .filter(|mention| !argument(&mention.pointer))
        .map(|mention| mention.hyperparameter)
        .collect()
}

fn check_outputs(study: &Study, dataset: &DatasetSchema, root: &Place, states: &States<Vec<usize>>) {
    let mut misfits: BTreeMap<(String, String), Vec<Key<_>>> = BTreeMap::new();
    let as_values = study.dataset.source.numbers_as_values().filter(|_| !dataset.names_classes());
    for key @ (shape, values) in states.keys() {
        let Some(loss) = read_at::<Loss>(study.document(), &study.space, values, "/training/loss") else {
            continue;
        };
        let metrics = study
            .metrics
            .iter()
            .enumerate()
            .map(|(index, metric)| compatibility::metric(index, *metric, shape, dataset.classes));
        // Metrics are not checked on an output that the loss cannot use.
        let judged = compatibility::output(loss, shape, dataset.classes, as_values)
            .and_then(|()| metrics.collect::<Result<(), _>>());
        if let Err(misfit) = judged {
            misfits.entry(misfit).or_default().push(key.clone());
        }
    }
    report(study, states, misfits, |(pointer, reason)| {
        // The network's last layer makes the output.
        let pointer = if pointer == "/network" {
            study.network.layers.last().map_or(pointer, |layer| layer.pointer.clone())
        } else {
            pointer
        };
        (root.at(&pointer).unwrap_or_else(|| root.clone()), reason)
    });
}

/// Reports the states that do not fit, with the values that only these have.
pub(super) fn report<'p, M: Ord + Hash, R>(
    study: &Study,
    states: &States<M>,
    misfits: BTreeMap<R, Vec<Key<M>>>,
    place: impl Fn(R) -> (Place<'p>, String),
) {
    let failing: HashSet<&Key<M>> = misfits.values().flatten().collect();
    let fit: Vec<&Point> =
        states.iter().filter(|(key, _)| !failing.contains(key)).map(|(_, state)| &state.example).collect();
    let wheres: Vec<String> = misfits
        .values()
        .take(limits::PREFLIGHT_REASONS_MAX)
        .map(|keys| {
            whereabouts(study, &keys.iter().map(|key| &states[key].example).collect::<Vec<_>>(), &fit)
        })
        .collect();
    for (reason, whereabouts) in misfits.into_keys().zip(wheres) {
        let (place, reason) = place(reason);
        place.invalid(format!("{reason}{whereabouts}"));
    }
}

/// ` when architecture is mlp`: the values that only failing examples have; empty if all fail.
fn whereabouts(study: &Study, fail: &[&Point], fit: &[&Point]) -> String {
    if fit.is_empty() {
        return String::new();
    }
    let named = |at: usize, values: &str| format!("{} is {values}", study.space.hyperparameters()[at].name);
    let mut words = Vec::new();
    for at in 0..study.space.hyperparameters().len() {
        let fits: HashSet<Option<&Value>> = fit.iter().map(|point| point.get(at)).collect();
        let fails: BTreeSet<Option<&Value>> = fail.iter().map(|point| point.get(at)).collect();
        if fails.iter().all(|value| !fits.contains(value)) {
            let values: Vec<String> = fails
                .iter()
                .take(limits::PREFLIGHT_VALUES_NAMED_MAX)
                .map(|value| value.map_or("inactive".to_owned(), Value::to_string))
                .collect();
            words.push(named(at, &values.join(" or ")));
        }
    }
    words.truncate(limits::PREFLIGHT_NAMED_MAX);
    if words.is_empty() {
        // No single hyperparameter explains it: name a whole example.
        let known = (0..study.space.hyperparameters().len())
            .filter_map(|at| Some(named(at, &fail[0].get(at)?.to_string())));
        words = known.take(limits::PREFLIGHT_EXAMPLE_MAX).collect();
    }
    if words.is_empty() { String::new() } else { format!(" when {}", words.join(" and ")) }
}
