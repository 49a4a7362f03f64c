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
/// The bytes of one CSV record: a row of `DATASET_ROW_VALUES_MAX` numbers of 15 characters. A file
/// without line ends must not end up in memory.
pub const CSV_RECORD_BYTES_MAX: u64 = 1 << 24;
/// The bytes of the datasets that a process keeps in memory, those in use included.
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
/// The seconds for which a listing reads heads of files and waits for datasets that it does not know;
/// the rest comes at the next listing.
pub const DATASETS_LIST_SECONDS: u64 = 1;
/// Datasets that a process reads at the same time: as many as small machines have cores to spare,
/// and one slow file leaves three turns to others.
pub const DATASETS_READ_AT_ONCE: usize = 4;
/// Callers that wait for datasets at the same time, each on a thread. A trainer has no more slots,
/// and an API no more threads for it.
pub const DATASET_CALLERS_MAX: usize = 256;
/// The seconds for which a dataset may be read while a client waits for the answer, and for which it
/// may wait for its turn before: proxies and clients often give up after a minute. The largest CSV
/// that is allowed takes half of that.
pub const DATASET_POST_SECONDS_MAX: u64 = 60;
/// The columns of a table or the arrays of a file that an answer or an error names.
pub const COLUMNS_NAMED_MAX: usize = 100;
/// Characters of a text in a file that an error shows: enough to find it.
pub const CELL_SHOWN_MAX: usize = 40;
/// The header of an array in an NPZ file, in bytes. NumPy itself reads no more than 10,000 unasked.
pub const NPY_HEADER_BYTES_MAX: usize = 10_000;
/// The arrays in an NPZ or safetensors file: datasets have a handful, large models some thousands.
pub const ARRAYS_MAX: usize = 10_000;
/// The header of a safetensors file, in bytes: `ARRAYS_MAX` tensors at 100 bytes.
pub const SAFETENSORS_HEADER_BYTES_MAX: u64 = 1 << 20;
/// The header of a page in a Parquet file, in bytes: some dozens, and the smallest and largest text of
/// the page if its writer keeps them.
pub const PARQUET_HEADER_BYTES_MAX: u64 = 1 << 20;
/// Bytes of an array that are read between two checks of the time limit: some milliseconds, inflated.
pub const ARRAY_PIECE_BYTES: u64 = 1 << 20;
/// Values of a Parquet file that are decoded at once: they stay in the cache, and the cost of a call
/// does not matter.
pub const PARQUET_BATCH: usize = 4_096;
/// The files in a folder of images: more than the training part of ImageNet has. Checking them takes
/// a third of a second at each use.
pub const IMAGES_MAX: usize = 1_500_000;
/// One file of an image, in bytes: `DATASET_ROW_VALUES_MAX` values, uncompressed, with room for
/// what cameras write beside them.
pub const IMAGE_FILE_BYTES_MAX: u64 = 16 << 20;
/// The memory of an image decoder, in bytes: a bomb of a few kilobytes ends here.
pub const IMAGE_DECODER_BYTES_MAX: u64 = 64 << 20;
/// The categories of one column: a column with more is an identifier or a text.
pub const CATEGORIES_MAX: usize = 1_000;
/// Bytes in the names of all classes of a dataset together: `DATASET_CLASSES_MAX` names of 16
/// bytes.
pub const CLASS_NAMES_BYTES_MAX: usize = 1 << 20;
/// The classes that a schema names: a schema is kept with each study, and a list may have a thousand.
pub const CLASSES_NAMED_MAX: usize = 100;
/// Characters of a class's name in a schema: fits a table's column.
pub const CLASS_NAME_SHOWN_MAX: usize = 100;
/// Bytes in the footer of a Parquet file, which takes fifty times as much memory. A thousand columns
/// in a hundred row groups have 15 MB.
pub const PARQUET_FOOTER_BYTES_MAX: u64 = 16 << 20;
/// Row numbers in all folds of a study together: 1 GB.
pub const FOLD_ROWS_MAX: u64 = 250_000_000;
