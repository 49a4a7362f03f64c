//! The bounds of datasets: sources, formats, and how they are read; each with its reason. Those of
//! `hpo` come with them.

pub use hpo::limits::*;

/// The bytes of one dataset in memory, and of what is read from one of its files (inflated).
/// Fashion-sized sets have 50 MB; a gzip bomb ends here.
pub const DATASET_BYTES_MAX: u64 = 1 << 30;
/// The rows of one dataset: row numbers are 32-bit, and an epoch's order of them is held per trial.
pub const DATASET_ROWS_MAX: u64 = 50_000_000;
/// The numbers in one row: an image of 1,024 × 1,024.
pub const DATASET_ROW_VALUES_MAX: usize = 1 << 20;
/// The dimensions of an IDX file: rows, depth, height, width, channels.
pub const IDX_DIMENSIONS_MAX: usize = 5;
/// The bytes of one CSV record: a row of `DATASET_ROW_VALUES_MAX` numbers of 15 characters. The
/// reader must not hold a file without line ends in memory.
pub const CSV_RECORD_BYTES_MAX: u64 = 1 << 24;
/// The bytes of datasets that a process keeps for later trials, beside those in use.
pub const DATASETS_LOADED_BYTES_MAX: u64 = 2 << 30;
/// The schemas, and the heads of files, that a process remembers; an entry has some hundred bytes.
/// When full, it forgets them all.
pub const DATASET_SCHEMAS_MAX: usize = 1_024;
/// The entries of the datasets folder that one listing looks at.
pub const DATASETS_VISITED_MAX: usize = 10_000;
/// The folders below the datasets folder that a listing descends.
pub const DATASETS_DEPTH_MAX: usize = 4;
/// The files that one listing reports.
pub const DATASETS_LISTED_MAX: usize = 1_000;
/// For how long a listing reads heads of files and waits for datasets that it does not know; the
/// rest comes at the next listing.
pub const DATASETS_LIST_SECONDS: u64 = 1;
/// Datasets that a process reads at the same time: as many as small machines have cores to spare,
/// and one slow file leaves three turns to others.
pub const DATASETS_READ_AT_ONCE: usize = 4;
/// Those who wait for datasets at the same time: each is a thread. A trainer has no more slots, and
/// an API has no more threads for it.
pub const DATASET_ASKERS_MAX: usize = 256;
/// How long a dataset may be read while a client waits for the answer, in seconds, and how long it
/// may wait for its turn before: proxies and clients often give up after a minute. The largest CSV
/// that is allowed takes half of that.
pub const DATASET_POST_SECONDS_MAX: u64 = 60;
/// The columns of a table or the arrays of a file that an answer or an error names.
pub const COLUMNS_NAMED_MAX: usize = 100;
/// Characters of a text in a file that an error shows: enough to find it.
pub const CELL_SHOWN_MAX: usize = 40;
/// The header of an array in an NPZ file, in bytes. NumPy itself reads no more than 10,000 unasked.
pub const NPY_HEADER_BYTES_MAX: usize = 10_000;
/// The arrays in an NPZ or safetensors file: data sets have a handful, large models some thousands.
pub const ARRAYS_MAX: usize = 10_000;
/// The header of a safetensors file, in bytes: `ARRAYS_MAX` tensors at 100 bytes.
pub const SAFETENSORS_HEADER_BYTES_MAX: u64 = 1 << 20;
/// The header of a page in a Parquet file, in bytes: some dozens, and the smallest and largest text
/// of the page, if its writer keeps them.
pub const PARQUET_HEADER_BYTES_MAX: u64 = 1 << 20;
/// Bytes of an array that are read before it is asked whether to go on: some milliseconds,
/// inflated.
pub const ARRAY_PIECE_BYTES: u64 = 1 << 20;
/// Values of a Parquet file that are decoded at once: they stay in the cache, and a call costs
/// nothing beside them.
pub const PARQUET_BATCH: usize = 4_096;
/// The files in a folder of images: as many as ImageNet's training part has, a third of a second of
/// looking after them at each use.
pub const IMAGES_MAX: usize = 1_500_000;
/// One file of an image, in bytes: `DATASET_ROW_VALUES_MAX` values, uncompressed, with room for
/// what cameras write beside them.
pub const IMAGE_FILE_BYTES_MAX: u64 = 16 << 20;
/// What an image decoder may hold while it decodes, in bytes: a bomb of a few kilobytes ends here.
pub const IMAGE_DECODER_BYTES_MAX: u64 = 64 << 20;
/// Categories of one such column: past it, a column is an identifier or a text rather than a
/// category.
pub const CATEGORIES_MAX: usize = 1_000;
/// Bytes in the names of all classes of a dataset together: `DATASET_CLASSES_MAX` names of 16
/// bytes.
pub const CLASS_NAMES_BYTES_MAX: usize = 1 << 20;
/// The classes that a schema names: it is kept with each study and stands in a list of a thousand
/// datasets.
pub const CLASSES_NAMED_MAX: usize = 100;
/// Characters of a class's name in a schema: fits a table's column.
pub const CLASS_NAME_SHOWN_MAX: usize = 100;
/// Bytes in the footer of a Parquet file: read, it takes fifty times as much. A thousand columns in
/// a hundred row groups have 15 MB.
pub const PARQUET_FOOTER_BYTES_MAX: u64 = 16 << 20;
/// Row numbers in all folds of a study together: 1 GB.
pub const FOLD_ROWS_MAX: u64 = 250_000_000;
