//! Numbers the points of a conditional space: how many there are, the point at an index, the index
//! of a point.
//!
//! No list of points is built. The number of ways to complete a few chosen values is a product over
//! groups of hyperparameters that no open condition connects. Within a group it is a sum over the
//! values of its first member; values that no condition distinguishes are counted together. A group
//! is identified by its members alone, since conditions on chosen parents are settled, so each
//! group is counted once.

use std::collections::{BTreeMap, HashMap};

use num_bigint::BigUint;

use crate::limits;
use crate::space::{Domain, Point, SearchSpace};
use crate::unit;
use crate::value::Value;

/// The points of a space, in order; the last hyperparameter varies fastest.
#[derive(Debug, Clone)]
pub struct Enumeration {
    space: SearchSpace,
    axes: Vec<Axis>,
    counted: HashMap<Vec<usize>, BigUint>,
    size: BigUint,
}

/// Why a space has no enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uncountable {
    /// A hyperparameter is a continuum.
    #[error("the space has a continuous hyperparameter")]
    Continuum,
    /// Counting would take too long.
    #[error(
        "the conditions between hyperparameters are too entangled to count the points; make fewer hyperparameters depend on several parents"
    )]
    Entangled,
}

/// The values of one hyperparameter that the enumeration visits, in order.
#[derive(Debug, Clone)]
enum Axis {
    /// All values of a discrete domain.
    All(Domain, u64),
    /// Only these values.
    Listed(Vec<Value>),
}

impl Enumeration {
    /// The grid of `space`, as in KerasTuner's GridSearch: a float without a step (or a log int
    /// without one) is cut into at most ten distinct bucket centres in rising order. Its default
    /// comes first if it has one that is not among them.
    pub fn grid(space: &SearchSpace) -> Result<Enumeration, Uncountable> {
        Enumeration::new(
            space,
            space
                .hyperparameters()
                .iter()
                .map(|hyperparameter| grid_axis(&hyperparameter.domain, hyperparameter.default.as_ref()))
                .collect(),
        )
    }

    /// Every point of a finite space.
    pub fn all(space: &SearchSpace) -> Result<Enumeration, Uncountable> {
        let axis = |domain: &Domain| {
            domain.count().map(|count| Axis::All(domain.clone(), count)).ok_or(Uncountable::Continuum)
        };
        Enumeration::new(
            space,
            space
                .hyperparameters()
                .iter()
                .map(|hyperparameter| axis(&hyperparameter.domain))
                .collect::<Result<_, _>>()?,
        )
    }

    fn new(space: &SearchSpace, axes: Vec<Axis>) -> Result<Enumeration, Uncountable> {
        let mut enumeration =
            Enumeration { space: space.clone(), axes, counted: HashMap::new(), size: BigUint::ZERO };
        let mut steps = limits::GRID_STEPS_MAX;
        let all = (0..enumeration.axes.len()).collect();
        enumeration.size = enumeration.count(all, &mut steps).ok_or(Uncountable::Entangled)?;
        Ok(enumeration)
    }

    /// The number of points.
    pub fn size(&self) -> &BigUint {
        &self.size
    }

    /// The point at `index`, or none from [`size`](Self::size) on.
    pub fn point(&mut self, index: &BigUint) -> Option<Point> {
        if *index >= self.size {
            return None;
        }
        let mut left = index.clone();
        let mut open: Vec<usize> = (0..self.axes.len()).collect();
        let space = self.space.clone();
        space.build(|at, _| {
            open.retain(|member| *member > at);
            for run in self.runs(at, &open) {
                let each = self.ways(run.open.clone());
                let whole = &each * (run.end - run.start);
                if left < whole {
                    let steps =
                        u64::try_from(&left / &each).expect("the quotient is below the length of the run");
                    left = &left % &each;
                    open = run.open;
                    return Some(self.axes[at].value(run.start + steps));
                }
                left -= whole;
            }
            None
        })
    }

    /// The index of `point`; none if it is not one of these points.
    pub fn index(&mut self, point: &Point) -> Option<BigUint> {
        let mut index = BigUint::ZERO;
        let mut open: Vec<usize> = (0..self.axes.len()).collect();
        for at in 0..self.axes.len() {
            open.retain(|member| *member > at);
            let Some(value) = point.get(at) else {
                continue;
            };
            let position = self.axes[at].position(value)?;
            for run in self.runs(at, &open) {
                let each = self.ways(run.open.clone());
                if position < run.end {
                    index += each * (position - run.start);
                    open = run.open;
                    break;
                }
                index += each * (run.end - run.start);
            }
        }
        Some(index)
    }

    /// The values of the hyperparameter at `at`, in order, as runs within which no condition of a
    /// member of `open` distinguishes values.
    fn runs(&self, at: usize, open: &[usize]) -> Vec<Run> {
        let mut cuts = vec![0, self.axes[at].count()];
        for position in self.mentioned(at, open) {
            cuts.extend([position, position + 1]);
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2)
            .map(|ends| Run {
                start: ends[0],
                end: ends[1],
                open: self.settle(at, &self.axes[at].value(ends[0]), open),
            })
            .collect()
    }

    /// The positions of the values of `at` that conditions of `members` mention.
    fn mentioned(&self, at: usize, members: &[usize]) -> Vec<u64> {
        let conditions = members
            .iter()
            .flat_map(|member| &self.space.hyperparameters()[*member].conditions)
            .filter(|condition| condition.parent == at);
        let mut positions: Vec<u64> = conditions
            .flat_map(|condition| &*condition.values)
            .filter_map(|value| self.axes[at].position(value))
            .collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The members of `open` that can still be active once `at` has `value`: all but those that
    /// need another value, and their children.
    fn settle(&self, at: usize, value: &Value, open: &[usize]) -> Vec<usize> {
        let mut left: Vec<usize> = Vec::with_capacity(open.len());
        for member in open.iter().filter(|member| **member != at) {
            let possible = self.space.hyperparameters()[*member].conditions.iter().all(|condition| {
                if condition.parent == at {
                    condition.allows(value)
                } else {
                    // A parent that was open but is not in `left` has just been dropped as
                    // inactive.
                    open.binary_search(&condition.parent).is_err()
                        || left.binary_search(&condition.parent).is_ok()
                }
            });
            if possible {
                left.push(*member);
            }
        }
        left
    }

    /// The number of ways to give values to `open`. Every group in it was counted when the
    /// enumeration was made.
    fn ways(&mut self, open: Vec<usize>) -> BigUint {
        let mut unlimited = u64::MAX;
        self.count(open, &mut unlimited).expect("counting without a limit always ends")
    }

    fn count(&mut self, open: Vec<usize>, steps: &mut u64) -> Option<BigUint> {
        let mut product = BigUint::from(1u8);
        for group in self.groups(&open) {
            product *= self.count_group(group, steps)?;
        }
        Some(product)
    }

    fn count_group(&mut self, group: Vec<usize>, steps: &mut u64) -> Option<BigUint> {
        if let [single] = group[..] {
            return Some(BigUint::from(self.axes[single].count()));
        }
        if let Some(known) = self.counted.get(&group) {
            return Some(known.clone());
        }
        // Parents come first, so the first member has no open condition of its own.
        let (first, rest) = (group[0], &group[1..]);
        let mut classes: BTreeMap<Vec<usize>, u64> = BTreeMap::new();
        for run in self.runs(first, rest) {
            *steps = steps.checked_sub(rest.len() as u64)?;
            *classes.entry(run.open).or_default() += run.end - run.start;
        }
        let mut sum = BigUint::ZERO;
        for (open, values) in classes {
            sum += self.count(open, steps)? * values;
        }
        self.counted.insert(group, sum.clone());
        Some(sum)
    }

    /// `open` cut into groups that no condition connects, each in rising order.
    fn groups(&self, open: &[usize]) -> Vec<Vec<usize>> {
        let mut group_of: HashMap<usize, usize> = HashMap::with_capacity(open.len());
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for member in open {
            let conditions = &self.space.hyperparameters()[*member].conditions;
            let mut parents: Vec<usize> =
                conditions.iter().filter_map(|condition| group_of.get(&condition.parent).copied()).collect();
            parents.sort_unstable();
            parents.dedup();
            let mut joined = vec![*member];
            for parent in &parents {
                joined.append(&mut groups[*parent]);
            }
            joined.sort_unstable();
            let home = parents.first().copied().unwrap_or(groups.len());
            group_of.extend(joined.iter().map(|member| (*member, home)));
            if home == groups.len() { groups.push(joined) } else { groups[home] = joined }
        }
        groups.retain(|group| !group.is_empty());
        groups
    }
}

/// Consecutive values that leave the same hyperparameters open.
struct Run {
    start: u64,
    end: u64,
    open: Vec<usize>,
}

impl Axis {
    fn count(&self) -> u64 {
        match self {
            Axis::All(_, count) => *count,
            Axis::Listed(values) => values.len() as u64,
        }
    }

    fn value(&self, position: u64) -> Value {
        match self {
            Axis::All(domain, _) => domain.value(position),
            Axis::Listed(values) => values[position as usize].clone(),
        }
    }

    fn position(&self, value: &Value) -> Option<u64> {
        match self {
            Axis::All(domain, _) => domain.position(value),
            Axis::Listed(values) => values.iter().position(|known| known == value).map(|at| at as u64),
        }
    }
}

fn grid_axis(domain: &Domain, default: Option<&Value>) -> Axis {
    use crate::space::Sampling::Linear;
    let bucketed = match domain {
        Domain::Int { step, sampling, .. } => step.is_none() && *sampling != Linear,
        Domain::Float { .. } => domain.count().is_none(),
        _ => false,
    };
    if !bucketed {
        return Axis::All(domain.clone(), domain.count().unwrap_or(1));
    }
    let mut values: Vec<Value> = (0..limits::GRID_BUCKETS)
        .map(|bucket| unit::value(domain, (bucket as f64 + 0.5) / limits::GRID_BUCKETS as f64))
        .collect();
    values.dedup();
    if let Some(default) = default
        && !values.contains(default)
    {
        values.insert(0, default.clone());
    }
    Axis::Listed(values)
}

#[cfg(test)]
mod tests;
