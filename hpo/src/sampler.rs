//! Chooses the point of a trial: a function of (space, seed, number), the same in every process and
//! in any order.

mod permutation;
mod random;

use num_bigint::BigUint;

use crate::document::names;
use crate::grid::Enumeration;
use crate::space::{Point, SearchSpace};

names! {
    /// The samplers.
    pub enum SamplerName {
        /// Draws each hyperparameter from its own prior; no point of a finite space comes twice.
        Random = "random",
        /// Every point of the grid, in order.
        Grid = "grid",
    }
    later ["quasi_random", "sobol", "halton", "tpe", "gp", "cmaes", "nsga2", "bayesian", "hyperband", "bohb", "evolution"]
}

/// The sampler of one study, with the points of lower numbers if it needs them.
#[derive(Debug)]
pub enum Sampler {
    /// See [`SamplerName::Random`].
    Random(Box<random::Random>),
    /// See [`SamplerName::Grid`].
    Grid(Enumeration),
}

impl Sampler {
    /// The sampler with this name over `space`; its draws depend on `seed`.
    ///
    /// # Panics
    ///
    /// If it is a grid that cannot be counted. A valid [`Study`](crate::Study) never has one.
    pub fn new(name: SamplerName, space: &SearchSpace, seed: u64) -> Sampler {
        match name {
            SamplerName::Random => Sampler::Random(Box::new(random::Random::new(space, seed))),
            SamplerName::Grid => Sampler::Grid(
                Enumeration::grid(space).expect("Study::parse refuses a grid that cannot be counted"),
            ),
        }
    }

    /// The point of trial `number`; none once the space is exhausted. In rising order each call
    /// takes microseconds. In a finite space, a first jump to a high number computes the points of
    /// all lower ones.
    pub fn suggest(&mut self, number: u64) -> Option<Point> {
        match self {
            Sampler::Random(random) => random.suggest(number),
            Sampler::Grid(grid) => grid.point(&BigUint::from(number)),
        }
    }
}

#[cfg(test)]
mod tests;
