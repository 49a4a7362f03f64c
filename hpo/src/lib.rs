//! Pure search: what to try next, and what a study means. No I/O, no clock, no threads; all
//! randomness comes from arguments.
//!
//! In reading order: [`limits`] bounds everything; [`document`] reads JSON and collects every
//! [`Problem`](document::Problem) with its pointer; [`space`] is the search space, [`unit`] maps it
//! to the unit cube and [`grid`] numbers its points; [`network`], [`training`] and [`dataset`] say
//! what one trial trains; [`objective`] says what makes it better than another; [`sampler`]
//! suggests points; [`study`] is the whole document; [`preflight`] checks it before anything is
//! queued; [`trial`] names the states of a trial.
//!
//! Modules use each other one way, with one exception: [`document`], [`context`] and [`space`] are
//! one kernel. The search space is read from the document like everything else, and every other
//! reader resolves the hyperparameters of the document through the space and what is known about
//! them.

pub mod context;
pub mod dataset;
pub mod document;
pub mod grid;
pub mod limits;
pub mod network;
pub mod objective;
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
