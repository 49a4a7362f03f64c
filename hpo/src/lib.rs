//! Pure search: what to try next, and what a study means. No I/O, no clock, no threads; all
//! randomness comes from arguments.
//!
//! In reading order: [`limits`] bounds everything; [`document`] reads JSON and collects every
//! [`Problem`](document::Problem) with its pointer; [`space`] is the search space, [`unit`] maps it
//! to the unit cube and [`grid`] numbers its points; [`network`], [`training`] and [`dataset`] say
//! what one trial trains; [`study`] is the whole document; [`preflight`] checks it before anything
//! is queued; [`sampler`] suggests points, and [`trial`] names the states of a trial.

pub mod context;
pub mod dataset;
pub mod document;
pub mod grid;
pub mod limits;
pub mod network;
pub mod preflight;
pub mod rng;
pub mod sampler;
#[cfg(feature = "openapi")]
pub mod schema;
pub mod shape;
pub mod space;
pub mod study;
pub mod training;
pub mod trial;
pub mod unit;
pub mod value;

pub use document::{Problem, ProblemKind};
pub use space::{Point, SearchSpace};
pub use study::{Plan, Study};
pub use value::Value;
