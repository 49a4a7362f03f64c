//! Dataset sources and formats: a schema and arrays, splits and scaling. No Redis, no HTTP, no
//! candle.
//!
//! In reading order: [`Catalog`] finds a dataset by its source, has it read once and shares it;
//! [`Dataset`] is what it hands out. Behind it, `reading` has the threads that read and what they
//! may take, of memory by `room`; `builtin` has the sets inside the binary and `folder` opens files
//! and never leaves its folder. `table` knows what the columns of a table are, which `csv_table`
//! and `parquet_table` read; `array` what becomes of arrays, which `idx`, `npz` and `tensors`
//! (safetensors) read; `images` reads folders of images. `bits` says whether 32 bits hold the
//! features, `ids` what they are to an Embedding. [`splits`](split::splits) says which rows train
//! and which validate, and [`Scaled`] fills batches with them.
//!
//! ```text
//! DatasetSpec ── Catalog::load ──▶ Arc<Dataset> ── splits ──▶ Split, … ── Scaled::new ──▶ Scaled::gather(rows) ──▶ batch
//! ```

mod array;
mod bits;
mod builtin;
mod catalog;
mod csv_table;
mod dataset;
mod error;
mod folder;
#[cfg(test)]
mod golden;
mod ids;
mod idx;
mod images;
pub mod limits;
mod listing;
mod npz;
mod parquet_pages;
mod parquet_table;
mod reading;
mod room;
mod scale;
mod split;
mod table;
mod tensors;

pub use catalog::{Catalog, Described};
pub use dataset::{Dataset, Features, Labels};
pub use error::Error;
pub use listing::Listed;
pub use reading::Asker;
pub use room::free_memory;
pub use scale::{Affine, Scaled};
pub use split::{Split, epoch_order, folds, split, splits};
