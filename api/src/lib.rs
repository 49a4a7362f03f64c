//! The HTTP API of Chandler. The only crate that knows HTTP; it holds no state that matters, so any
//! number may run.
//!
//! In reading order: [`config`] has the flags; [`app`] the one piece of shared data; [`router`]
//! every route on one screen; `routes` one file per resource; `wire` what goes over the wire;
//! [`error`] every way to say no, and [`code`] the table of their codes. [`serve`] puts a whole
//! service together, with its own Redis and trainer where none is given, and [`run_study`] does so
//! for one study.

pub mod app;
pub mod auth;
mod children;
pub mod code;
pub mod config;
mod create;
pub mod error;
pub mod limits;
pub mod metrics;
pub mod router;
mod routes;
pub mod run_study;
pub mod serve;
mod wire;

pub use app::App;
pub use config::Config;
pub use serve::run;
