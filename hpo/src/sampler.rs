//! Which point a trial tries: a function of (space, seed, number), in any process, in any order.

mod permutation;
mod random;

use num_bigint::BigUint;

use crate::document::names;
use crate::grid::Enumeration;
use crate::space::{Point, SearchSpace};

names! {
    /// The samplers.
    pub enum SamplerName {
        /// Each hyperparameter from its own prior; no point of a finite space twice.
        Random = "random",
        /// Every point of the grid, in order.
        Grid = "grid",
    }
    later ["quasi_random", "sobol", "halton", "tpe", "gp", "cmaes", "nsga2", "bayesian", "hyperband", "bohb", "evolution"]
}

/// The sampler of one study, with what it remembers of lower numbers.
#[derive(Debug)]
pub enum Sampler {
    /// See [`SamplerName::Random`].
    Random(Box<random::Random>),
    /// See [`SamplerName::Grid`].
    Grid(Enumeration),
}

impl Sampler {
    /// The sampler of that name over `space`, its draws from `seed`.
    ///
    /// # Panics
    ///
    /// Where it is a grid that cannot be counted. A [`Study`](crate::Study) has none.
    pub fn new(name: SamplerName, space: &SearchSpace, seed: u64) -> Sampler {
        match name {
            SamplerName::Random => Sampler::Random(Box::new(random::Random::new(space, seed))),
            SamplerName::Grid => Sampler::Grid(
                Enumeration::grid(space).expect("Study::parse refuses a grid that cannot be counted"),
            ),
        }
    }

    /// The point of trial `number`; none once the space is exhausted. Asked in rising order each
    /// costs microseconds; a first jump to a high number makes the points of all lower ones, where
    /// the space is finite.
    pub fn suggest(&mut self, number: u64) -> Option<Point> {
        match self {
            Sampler::Random(random) => random.suggest(number),
            Sampler::Grid(grid) => grid.point(&BigUint::from(number)),
        }
    }
}

#[cfg(test)]
mod tests;
