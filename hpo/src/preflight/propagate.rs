//! Shapes through every branch of the network, as sets of states.

use std::collections::{BTreeSet, HashMap};

use super::{Recipe, Totals, closure, judge, needs, read_at};
use crate::dataset::DatasetSchema;
use crate::document::{Place, Reading, Scope};
use crate::limits;
use crate::shape::{cost, output_shape};
use crate::space::Point;
use crate::study::Study;
use crate::training::Loss;

/// What tells two ways through the network apart: the shape they have made so far, and the values that later layers mention.
type Key = (Vec<usize>, Point);

/// What all ways that led to a state have in common.
#[derive(Clone)]
struct State {
    totals: Totals,
    /// The values along one of the ways, for messages.
    example: Point,
}

/// All states at one depth of the network.
type States = HashMap<Key, State>;

/// The totals over all networks of the space, after reporting every branch that cannot work; none where there are too many states.
pub(super) fn follow(study: &Study, dataset: &DatasetSchema, recipe: &Recipe, root: &Place) -> Option<Totals> {
    let space = &study.space;
    let layers = &study.network.layers;
    let loss_needs = loss_needs(study);
    // What each layer and all after it need, from the back.
    let mut needed_from: Vec<BTreeSet<usize>> = vec![loss_needs.iter().copied().collect()];
    for layer in layers.iter().rev() {
        let mut needed = needed_from.last().cloned().unwrap_or_default();
        needed.extend(needs(space, layer));
        needed_from.push(needed);
    }
    needed_from.reverse();
    let nothing = Point::empty(space);
    let mut decided: BTreeSet<usize> = BTreeSet::new();
    let mut states: States = HashMap::from([((dataset.shape.clone(), nothing.clone()), State { totals: Totals::default(), example: nothing })]);
    for (index, layer) in layers.iter().enumerate() {
        states = decide(study, states, &needs(space, layer), &mut decided)?;
        let mut next: States = HashMap::with_capacity(states.len());
        let mut misfits: HashMap<String, Vec<Point>> = HashMap::new();
        let mut fits: Vec<Point> = Vec::new();
        decided.retain(|at| needed_from[index + 1].contains(at));
        for ((shape, values), state) in states {
            let (shape, totals) = if space.holds(&layer.when, &values) {
                let concrete = layer.at(study.document(), space, &values)?;
                match output_shape(&concrete, &shape) {
                    Ok(output) => {
                        let cost = cost(&concrete, &shape, &output);
                        (output, state.totals.plus(cost, cost, recipe))
                    }
                    Err(reason) => {
                        misfits.entry(reason).or_default().push(state.example);
                        continue;
                    }
                }
            } else {
                (shape, state.totals)
            };
            fits.push(state.example.clone());
            merge(&mut next, (shape, values.keep(&decided)), State { totals, ..state });
        }
        for (reason, examples) in misfits {
            let place = root.at(&layer.pointer).unwrap_or_else(|| root.clone());
            place.invalid(format!("{reason}{}", whereabouts(study, &examples, &fits)));
        }
        states = next;
    }
    let states = decide(study, states, &loss_needs, &mut decided)?;
    judge_outputs(study, dataset, root, &states);
    states.into_values().map(|state| state.totals).reduce(Totals::hull)
}

/// The same states with values for the hyperparameters in `wanted`; none where they become too many.
fn decide(study: &Study, mut states: States, wanted: &[usize], decided: &mut BTreeSet<usize>) -> Option<States> {
    for at in wanted.iter().filter(|at| !decided.contains(at)) {
        let domain = &study.space.hyperparameters()[*at].domain;
        let count = domain.count().filter(|count| *count <= limits::PREFLIGHT_STATES_MAX as u64)?;
        let mut next: States = HashMap::with_capacity(states.len());
        for ((shape, values), state) in states {
            if !study.space.is_active(*at, &values) {
                next.insert((shape, values), state);
                continue;
            }
            for value in (0..count).map(|index| domain.value(index)) {
                let example = state.example.with(*at, value.clone());
                next.insert((shape.clone(), values.with(*at, value)), State { example, ..state.clone() });
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

fn merge(states: &mut States, key: Key, state: State) {
    let totals = state.totals;
    let known = states.entry(key).or_insert(state);
    known.totals = known.totals.hull(totals);
}

fn loss_needs(study: &Study) -> Vec<usize> {
    let reading = Reading::default();
    if let Some(place) = reading.root(study.document(), Some(Scope { space: &study.space, point: None })).at("/training/loss") {
        place.read_all::<Loss>();
    }
    closure(&study.space, reading.mentions().iter().map(|mention| mention.hyperparameter))
}

fn judge_outputs(study: &Study, dataset: &DatasetSchema, root: &Place, states: &States) {
    let mut misfits: HashMap<(&'static str, String), Vec<Point>> = HashMap::new();
    let mut fits = Vec::new();
    for ((shape, values), state) in states {
        let Some(loss) = read_at::<Loss>(study.document(), &study.space, values, "/training/loss") else { continue };
        match judge::output(loss, shape, dataset) {
            Ok(()) => fits.push(state.example.clone()),
            Err(misfit) => misfits.entry(misfit).or_default().push(state.example.clone()),
        }
    }
    for ((pointer, reason), examples) in misfits {
        // The network's last layer makes the output.
        let pointer = if pointer == "/network" { study.network.layers.last().map_or(pointer, |layer| &layer.pointer) } else { pointer };
        root.at(pointer).unwrap_or_else(|| root.clone()).invalid(format!("{reason}{}", whereabouts(study, &examples, &fits)));
    }
}

/// ` where architecture is mlp`: what the examples that fail have and those that fit have not; nothing where all fail.
fn whereabouts(study: &Study, fail: &[Point], fit: &[Point]) -> String {
    if fit.is_empty() {
        return String::new();
    }
    let hyperparameters = study.space.hyperparameters().iter().enumerate();
    let telling = hyperparameters.clone().filter(|(at, _)| fail.iter().all(|one| fit.iter().all(|other| one.get(*at) != other.get(*at))));
    let some = |at: usize| fail[0].get(at).map_or("inactive".to_owned(), ToString::to_string);
    let mut words: Vec<String> = telling.take(3).map(|(at, hyperparameter)| format!("{} is {}", hyperparameter.name, some(at))).collect();
    if words.is_empty() {
        // No single one tells: the whole example does.
        let known = hyperparameters.filter(|(at, _)| fail[0].get(*at).is_some());
        words = known.take(8).map(|(at, hyperparameter)| format!("{} is {}", hyperparameter.name, some(at))).collect();
    }
    if words.is_empty() { String::new() } else { format!(" where {}", words.join(" and ")) }
}
