//! The HTTP API of Chandler. The only crate that knows HTTP; it holds no state that matters, so any
//! number may run.
//!
//! In reading order: [`config`] has the commands and their flags; [`app`] the one piece of shared
//! data; [`router`] every route on one screen; `middleware` what surrounds them; `routes` one file
//! per resource; `wire` what goes over the wire; [`contract`] the OpenAPI document; [`error`] every
//! error, and [`code`] the table of their codes. [`serve`] puts a whole service together,
//! with its own Redis and trainer if none is given, and [`run_study`] does so for one study;
//! [`client`] talks to a running service. What commands print is written in `report`, models as
//! files in [`model_file`].

pub mod app;
pub mod auth;
mod children;
pub mod client;
pub mod code;
pub mod config;
pub mod contract;
mod create;
pub mod error;
pub mod limits;
pub mod metrics;
mod middleware;
pub mod model_file;
mod report;
pub mod router;
mod routes;
pub mod run_study;
pub mod serve;
mod wire;

pub use app::App;
pub use serve::run;
