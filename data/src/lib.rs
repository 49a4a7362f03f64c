//! Dataset sources and formats: a schema and arrays, splits and scaling. No Redis, no HTTP, no candle.
//!
//! In reading order: [`Catalog`] finds a dataset by its source, reads it once and shares it; [`Dataset`] is what it hands out. Behind it, `builtin`
//! has the sets inside the binary, `folder` opens files and never leaves its folder, `idx` and `table` (CSV) read them. [`split`](split::split)
//! says which rows train and which validate, and [`Scaled`] fills batches with them.
//!
//! ```text
//! DatasetSpec ── Catalog::load ──▶ Arc<Dataset> ── split ──▶ Split ── Scaled::new ──▶ Scaled::gather(rows) ──▶ batch
//! ```

mod builtin;
mod catalog;
mod dataset;
mod error;
mod folder;
mod idx;
mod listing;
mod scale;
mod split;
mod table;

pub use catalog::Catalog;
pub use dataset::{Dataset, Features, Labels};
pub use error::Error;
pub use listing::Listed;
pub use scale::Scaled;
pub use split::{Split, epoch_order, split};
