//! The tests that need more than one room, in one binary.

// Helper functions of tests are not marked as tests, so that clippy.toml does not reach them.
#![allow(clippy::unwrap_used)]

mod client;
mod contract;
mod deploy;
mod e2e;
mod edge;
mod http;
mod numbers;
mod queue;
mod readme;
mod redis_says;
mod scrape;
mod start;
mod tls;
