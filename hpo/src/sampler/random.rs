//! Random search (Bergstra and Bengio 2012), without KerasTuner's early stop: a finite space is
//! exhausted exactly once.

use std::collections::HashSet;

use num_bigint::BigUint;

use super::permutation::Permutation;
use crate::grid::Enumeration;
use crate::limits;
use crate::rng::{Purpose, stream};
use crate::space::{Point, SearchSpace};
use crate::unit;

/// The random sampler of one study.
#[derive(Debug)]
pub struct Random {
    space: SearchSpace,
    seed: u64,
    /// What was suggested so far, if the space is finite.
    finite: Option<Finite>,
}

#[derive(Debug)]
struct Finite {
    points: Enumeration,
    /// The packed points of all numbers below, in order.
    suggested: Vec<Vec<u8>>,
    seen: HashSet<Vec<u8>>,
    permutation: Permutation,
    /// All points that the permutation gives before this one have been suggested.
    cursor: u128,
}

impl Random {
    /// The sampler of `space` under `seed`.
    pub fn new(space: &SearchSpace, seed: u64) -> Random {
        let finite = Enumeration::all(space).ok().map(|points| Finite {
            permutation: Permutation::new(u128::try_from(points.size()).unwrap_or(u128::MAX), seed),
            points,
            suggested: Vec::new(),
            seen: HashSet::new(),
            cursor: 0,
        });
        Random { space: space.clone(), seed, finite }
    }

    /// The point of trial `number`: each active hyperparameter is drawn from its own prior, parents
    /// first.
    pub fn suggest(&mut self, number: u64) -> Option<Point> {
        let Some(finite) = &mut self.finite else {
            return Some(draw(&self.space, self.seed, number, 0));
        };
        while finite.suggested.len() as u64 <= number {
            let next = finite.next(&self.space, self.seed)?;
            finite.seen.insert(next.clone());
            finite.suggested.push(next);
        }
        let point = self.space.unpack(&finite.suggested[number as usize]);
        Some(point.expect("it was packed from a point of this space"))
    }
}

impl Finite {
    /// The packed point of the first number that has none.
    fn next(&mut self, space: &SearchSpace, seed: u64) -> Option<Vec<u8>> {
        let number = self.suggested.len() as u64;
        if BigUint::from(number) >= *self.points.size() {
            return None;
        }
        for redraw in 0..=limits::REDRAWS_MAX {
            let point = space.pack(&draw(space, seed, number, redraw));
            if !self.seen.contains(&point) {
                return Some(point);
            }
        }
        loop {
            let index = self.permutation.get(self.cursor)?;
            self.cursor += 1;
            let point = space.pack(&self.points.point(&BigUint::from(index))?);
            if !self.seen.contains(&point) {
                return Some(point);
            }
        }
    }
}

fn draw(space: &SearchSpace, seed: u64, number: u64, redraw: u32) -> Point {
    let mut rng = stream(seed, Purpose::Sampler, number, u64::from(redraw));
    space
        .build(|_, hyperparameter| Some(unit::value(&hyperparameter.domain, rng.unit())))
        .expect("every hyperparameter is given a value")
}
