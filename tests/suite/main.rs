//! The tests that need more than one room, in one binary.

mod contract;
mod deploy;
mod e2e;
mod http;
mod queue;
mod readme;
mod scrape;
