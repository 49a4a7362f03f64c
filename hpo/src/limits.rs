//! The bounds of studies, searches, networks and training, each with its reason. Bounds that
//! concern one other crate only are in the `limits` of that crate.

// ---- store: the embedded Redis child and the artifacts ----

/// The largest artifact, in bytes. It is held in memory as a whole; 2 GiB hold 500 million weights.
pub const ARTIFACT_BYTES_MAX: usize = 2 << 30;

// ---- The study document ----

/// Nesting levels of a document: a study needs about 10, and serde_json itself stops at 128.
pub const NESTING_MAX: usize = 64;
/// Problems in one answer: enough to correct a document in one go, but a request cannot cause an
/// answer of a megabyte.
pub const PROBLEMS_MAX: usize = 100;
/// Characters of a text that a message quotes: the beginning is enough to recognise it.
pub const QUOTED_CHARACTERS_MAX: usize = 60;
/// Values that a message lists at most: a few lines.
pub const VALUES_NAMED_MAX: usize = 20;
/// Bytes in the name of a study, a hyperparameter or a tag: fits the column of a table.
pub const NAME_BYTES_MAX: usize = 100;
/// Bytes in a string of a choice, or in the value of a tag.
pub const TEXT_BYTES_MAX: usize = 256;
/// Bytes in a path in the datasets folder; file systems allow about 4,096.
pub const PATH_BYTES_MAX: usize = 512;
/// The largest integer that a double holds exactly: JSON parsers differ for larger ones.
pub const EXACT_INTEGER_MAX: i64 = 1 << 53;
/// Hyperparameters in a document. SageMaker allows 30; no published search has more than a hundred.
pub const DECLARATIONS_MAX: usize = 200;
/// Hyperparameters, repetitions included.
pub const HYPERPARAMETERS_MAX: usize = 1_000;
/// Values of a choice. SageMaker allows 30.
pub const CHOICES_MAX: usize = 1_000;
/// Values of a hyperparameter that conditions and cases can use: a range with more is not split
/// into single values.
pub const CASES_MAX: u64 = 1_000;
/// Values that are compared while the conditions and cases of a document are read: a few hundred
/// milliseconds. A large study needs about ten thousand.
pub const READING_STEPS_MAX: u64 = 2_000_000;
/// Repetitions: the deepest networks in use repeat a block about 50 times.
pub const REPEATS_MAX: usize = 64;
/// Layers in a document.
pub const LAYERS_MAX: usize = 200;
/// Layers, repetitions and choices included.
pub const FLAT_LAYERS_MAX: usize = 2_000;
/// Units, filters, sides of a window: the product of two still fits 64 bits.
pub const LAYER_SIZE_MAX: i64 = 1 << 20;
/// Dimensions of a row.
pub const RANK_MAX: usize = 6;
/// Elements of a row anywhere in a network: 4 GiB of floats, more than any trainer holds for one
/// row.
pub const ROW_ELEMENTS_MAX: u64 = 1 << 30;
/// Weights of a network, in bytes: together with the document they must fit in an artifact.
pub const WEIGHT_BYTES_MAX: u64 = ARTIFACT_BYTES_MAX as u64 - (16 << 20);
/// Memory of one training step, in bytes: more than machines have that train several trials at
/// once. Each trainer also checks the memory of its own machine.
pub const STEP_BYTES_MAX: u64 = 1 << 40;
/// The rate of dropout: at 1 nothing would be left to scale.
pub const DROPOUT_RATE_MAX: f64 = 1.0 - 1e-6;
/// Initial weights, their spread, and the largest norm: training does not start with larger
/// numbers.
pub const WEIGHT_START_MAX: f64 = 1e6;
/// The factor of a regulariser: with a larger one, only the penalty is trained.
pub const PENALTY_MAX: f64 = 1e6;
/// A learning rate: a larger one is a typing error.
pub const LEARNING_RATE_MAX: f64 = 1e3;
/// A decay such as momentum or beta_1: at 1 nothing would ever be forgotten.
pub const DECAY_MAX: f64 = 1.0 - 1e-9;
/// The epsilon of an optimiser: 0 would divide by zero, and f32 ends near 1e-38.
pub const EPSILON_MIN: f64 = 1e-30;
/// The value that gradients are clipped at, or the initial sum of their squares: f32 ends near
/// 1e38, and this is its square root.
pub const CLIP_MAX: f64 = 1e19;
/// A factor or exponent of a schedule: a larger one is a typing error.
pub const SCHEDULE_FACTOR_MAX: f64 = 1e3;
/// Pieces of a piecewise constant schedule: each step searches them.
pub const SCHEDULE_PIECES_MAX: usize = 1_000;
/// Rows in a step.
pub const BATCH_SIZE_MAX: i64 = 1 << 20;
/// Epochs of a trial; the packed curve stays below 1 MB for two metrics.
pub const EPOCHS_MAX: i64 = 100_000;
/// Callbacks in a document: there are three kinds, each at most once, and choices between them.
pub const CALLBACKS_MAX: usize = 20;
/// The factor of a learning rate on a plateau: at 1 the rate would not change.
pub const PLATEAU_FACTOR_MAX: f64 = 1.0 - 1e-9;
/// A number that a callback compares a metric with: a larger metric means that training has failed.
pub const MONITORED_MAX: f64 = 1e30;
/// The weight of a class: with a larger one, only that class is trained.
pub const CLASS_WEIGHT_MAX: f64 = 1e6;
/// Executions of a trial: with more, their mean hardly changes.
pub const EXECUTIONS_MAX: i64 = 100;
/// Metrics in a document. SageMaker allows 20.
pub const METRICS_MAX: usize = 20;

// ---- Search ----

/// Redraws of a point that a trial with a lower number already has, before the next unseen point of
/// a permutation is taken.
pub const REDRAWS_MAX: u32 = 64;
/// Points of a continuum in a grid, as in KerasTuner.
pub const GRID_BUCKETS: u64 = 10;
/// Steps for counting a conditional grid: less than a second. Only a web of conditions between many
/// parents needs more.
pub const GRID_STEPS_MAX: u64 = 1_000_000;
/// Structural combinations that the pre-flight visits one by one.
pub const PREFLIGHT_STATES_MAX: usize = 100_000;
/// Visits of a combination by a layer: a few seconds. In a network of 20 layers, all combinations
/// are visited.
pub const PREFLIGHT_VISITS_MAX: usize = 2_000_000;
/// With more states than this, misfits are reported for the first layer only: finding what
/// distinguishes states takes quadratic time.
pub const PREFLIGHT_REPORTED_FROM_MAX: usize = 1_000;
/// Reasons reported for one layer: correcting the first often corrects the rest.
pub const PREFLIGHT_REASONS_MAX: usize = 3;
/// Hyperparameters that such a reason names if each of them alone explains the failure.
pub const PREFLIGHT_NAMED_MAX: usize = 3;
/// Values listed for each of them, so that the sentence stays short.
pub const PREFLIGHT_VALUES_NAMED_MAX: usize = 5;
/// Hyperparameters that are named if only a whole example explains the failure.
pub const PREFLIGHT_EXAMPLE_MAX: usize = 8;
/// Variants of one layer that are considered for the bounds of the pre-flight.
pub const PREFLIGHT_VARIANTS_MAX: usize = 1_000;
/// Trials of a study.
pub const TRIALS_MAX: u64 = 1_000_000;
/// Trials of a study that run at once.
pub const PARALLEL_MAX: u64 = 10_000;
/// The longest a trial may run: 30 days.
pub const TRIAL_SECONDS_MAX: f64 = 30.0 * 86_400.0;
/// Tags of a study.
pub const TAGS_MAX: usize = 20;
/// Retries of a trial after failures or stalls: more would only hide a fault.
pub const RETRIES_MAX: i64 = 100;
/// Seconds before a retry: a day.
pub const BACKOFF_SECONDS_MAX: f64 = 86_400.0;
/// The weight of a study relative to others: a share a thousand times as large is almost
/// everything.
pub const WEIGHT_MAX: f64 = 1_000.0;

// ---- data: sources and formats ----

/// The classes of one dataset. With more, integer labels are the values of a regression or a
/// mistake.
pub const DATASET_CLASSES_MAX: u32 = 65_536;
/// Columns that `one_hot` names.
pub const ONE_HOT_COLUMNS_MAX: usize = 1_000;
/// Bytes in the name of a class or a category of a table: all names stay in memory and are stored
/// in each artifact. Anything longer is a text, not a name.
pub const CLASS_NAME_BYTES_MAX: usize = 1_000;
/// Folds of a cross-validation: each trains a new network. 5 and 10 are usual.
pub const FOLDS_MAX: i64 = 100;

// ---- The trainer ----

/// Rows of a validation batch if the training batch is smaller: small batches only cost time in
/// validation. At most two training batches: without gradients, the activations of two take as much
/// memory as those of one with gradients.
pub const VALIDATION_ROWS: usize = 128;
