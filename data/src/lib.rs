//! Dataset sources and formats: a schema and arrays, splits and scaling. No Redis, no HTTP, no
//! candle.
//!
//! In reading order: [`Catalog`] finds a dataset by its source, has it read once and shares it;
//! [`Dataset`] is what it hands out. `reading` has the threads that read and the time and memory
//! (`room`) they may take; `source` reads the dataset of a study, and `rows` checks, describes and
//! hashes it. `builtin` has the datasets inside the binary; `folder` opens files and never leaves its
//! folder. `table` reads tables, `array` arrays, and `images` folders of images, each with a file for
//! each format. `bits` decides whether 32 bits hold the features, `ids` finds the feature that is the
//! worst id for an Embedding. [`splits`](split::splits) says which rows train and which validate, and
//! [`Scaled`] fills batches with them.
//!
//! ```text
//! DatasetSpec ── Catalog::load ──▶ Arc<Dataset> ── splits ──▶ Split, … ── Scaled::new ──▶ Scaled::gather(rows) ──▶ batch
//! ```

mod array;
mod bits;
mod builtin;
mod catalog;
mod dataset;
mod error;
mod folder;
#[cfg(test)]
mod golden;
mod ids;
mod images;
pub mod limits;
mod listing;
mod reading;
mod room;
mod rows;
mod scale;
mod source;
mod split;
mod table;

pub use catalog::{Catalog, Described};
pub use dataset::{Dataset, Features, Labels};
pub use error::Error;
pub use listing::Listed;
pub use reading::Caller;
pub use room::free_memory;
pub use scale::{Affine, Scaled};
pub use split::{Split, epoch_order, folds, split, splits};
