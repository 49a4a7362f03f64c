//! The bounds of studies, searches, networks and training, each with its reason. The other crates have
//! a `limits` of their own for what they alone bound.

// ---- store: the embedded Redis child and the artifacts ----

/// The largest artifact, in bytes. It is held in memory as a whole: 2 GiB are the weights of 500
/// million parameters.
pub const ARTIFACT_BYTES_MAX: usize = 2 << 30;

// ---- The study document ----

/// JSON nests no deeper: a study needs about 10 levels, and serde_json itself stops at 128.
pub const NESTING_MAX: usize = 64;
/// Problems in one answer: enough to mend a document in one go, and no way to have a megabyte
/// echoed.
pub const PROBLEMS_MAX: usize = 100;
/// Characters of a text of the document that a message quotes: whoever wrote it knows it by its
/// begin.
pub const QUOTED_CHARACTERS_MAX: usize = 60;
/// Values that a message names where a hyperparameter or a field has more: a few lines.
pub const VALUES_NAMED_MAX: usize = 20;
/// A name of a study, a hyperparameter or a tag: fits a table's column.
pub const NAME_BYTES_MAX: usize = 100;
/// A string among a choice's values, or a tag's value.
pub const TEXT_BYTES_MAX: usize = 256;
/// A path below the dataset folder; file systems end near 4,096.
pub const PATH_BYTES_MAX: usize = 512;
/// The largest integer that a double holds exactly: JSON's readers differ beyond.
pub const EXACT_INTEGER_MAX: i64 = 1 << 53;
/// Hyperparameters in a document. SageMaker allows 30; nobody has been seen with more than a
/// hundred.
pub const DECLARATIONS_MAX: usize = 200;
/// Hyperparameters with all repetitions.
pub const HYPERPARAMETERS_MAX: usize = 1_000;
/// Values of a choice. SageMaker allows 30.
pub const CHOICES_MAX: usize = 1_000;
/// Values of a hyperparameter that conditions and cases may look at: past that, a range is no
/// longer taken apart.
pub const CASES_MAX: u64 = 1_000;
/// Values that are compared while a document is read, where conditions and cases meet: some hundred
/// milliseconds. A large study needs some ten thousand.
pub const READING_STEPS_MAX: u64 = 2_000_000;
/// Repetitions: the deepest networks in use repeat a block some 50 times.
pub const REPEATS_MAX: usize = 64;
/// Layers in a document.
pub const LAYERS_MAX: usize = 200;
/// Layers with all repetitions and choices.
pub const FLAT_LAYERS_MAX: usize = 2_000;
/// Units, filters, windows: a product of two still fits 64 bits.
pub const LAYER_SIZE_MAX: i64 = 1 << 20;
/// Dimensions of a row.
pub const RANK_MAX: usize = 6;
/// Elements of a row anywhere in a network: 4 GiB of floats, more than any trainer holds for one
/// row.
pub const ROW_ELEMENTS_MAX: u64 = 1 << 30;
/// Weights of a network, in bytes: with the document beside them they must fit an artifact.
pub const WEIGHT_BYTES_MAX: u64 = ARTIFACT_BYTES_MAX as u64 - (16 << 20);
/// What one training step holds, in bytes: more memory than machines have that train trials side by
/// side. Each trainer looks at its own, too.
pub const STEP_BYTES_MAX: u64 = 1 << 40;
/// Dropout's rate: at 1 nothing would be left to scale.
pub const DROPOUT_RATE_MAX: f64 = 1.0 - 1e-6;
/// What a weight starts with, how far starting weights spread, and the norm it is held to: beyond,
/// training does not begin.
pub const WEIGHT_START_MAX: f64 = 1e6;
/// The factor of a regulariser: beyond, nothing but the penalty is trained.
pub const PENALTY_MAX: f64 = 1e6;
/// A learning rate: beyond, it is a typing error.
pub const LEARNING_RATE_MAX: f64 = 1e3;
/// A decay such as momentum or beta_1: at 1 nothing would ever be forgotten.
pub const DECAY_MAX: f64 = 1.0 - 1e-9;
/// An optimiser's epsilon: 0 would divide by zero, and f32 ends near 1e-38.
pub const EPSILON_MIN: f64 = 1e-30;
/// What gradients are clipped at, or a sum of their squares starts with: f32 ends near 1e38, whose
/// root this is.
pub const CLIP_MAX: f64 = 1e19;
/// What a schedule multiplies with or raises to: beyond, it is a typing error.
pub const SCHEDULE_FACTOR_MAX: f64 = 1e3;
/// Pieces of a piecewise constant schedule: each step looks through them.
pub const SCHEDULE_PIECES_MAX: usize = 1_000;
/// Rows in a step.
pub const BATCH_SIZE_MAX: i64 = 1 << 20;
/// Epochs of a trial; the packed curve stays below 1 MB for two metrics.
pub const EPOCHS_MAX: i64 = 100_000;
/// Callbacks in a document: there are three kinds, each at most once, and choices between them.
pub const CALLBACKS_MAX: usize = 20;
/// The factor of a learning rate on a plateau: at 1 it would stay.
pub const PLATEAU_FACTOR_MAX: f64 = 1.0 - 1e-9;
/// What a callback compares a metric with: metrics that are larger mean that training has failed.
pub const MONITORED_MAX: f64 = 1e30;
/// How much a class counts: beyond, nothing but that class is trained.
pub const CLASS_WEIGHT_MAX: f64 = 1e6;
/// Executions of a trial: their mean no longer changes much.
pub const EXECUTIONS_MAX: i64 = 100;
/// Metrics in a document. SageMaker allows 20.
pub const METRICS_MAX: usize = 20;

// ---- Search ----

/// Redraws of a point that a lower number has already, before the next unseen point of a
/// permutation is taken.
pub const REDRAWS_MAX: u32 = 64;
/// Points of a continuum in a grid: KerasTuner's.
pub const GRID_BUCKETS: u64 = 10;
/// Steps that counting a conditional grid may take: below a second. Only a web of conditions
/// between many parents needs more.
pub const GRID_STEPS_MAX: u64 = 1_000_000;
/// Structural combinations that the pre-flight follows one by one.
pub const PREFLIGHT_STATES_MAX: usize = 100_000;
/// Visits of a structural combination by a layer: some seconds. A network of 20 layers has them all
/// visited.
pub const PREFLIGHT_VISITS_MAX: usize = 2_000_000;
/// Past so many states, what does not fit is reported for the first layer only: finding what tells
/// them apart takes the square of them.
pub const PREFLIGHT_REPORTED_FROM_MAX: usize = 1_000;
/// Reasons that one layer is reported for: mending the first often mends the rest.
pub const PREFLIGHT_REASONS_MAX: usize = 3;
/// Hyperparameters that such a reason names where each of them alone tells what fails from what
/// does not.
pub const PREFLIGHT_NAMED_MAX: usize = 3;
/// Values of one of them that are named: a sentence should stay one.
pub const PREFLIGHT_VALUES_NAMED_MAX: usize = 5;
/// Hyperparameters that are named where only an example as a whole tells it.
pub const PREFLIGHT_EXAMPLE_MAX: usize = 8;
/// Variants of one layer that the pre-flight's bounds look at.
pub const PREFLIGHT_VARIANTS_MAX: usize = 1_000;
/// Trials of a study.
pub const TRIALS_MAX: u64 = 1_000_000;
/// Trials of a study that run at once.
pub const PARALLEL_MAX: u64 = 10_000;
/// The longest a trial may run: 30 days.
pub const TRIAL_SECONDS_MAX: f64 = 30.0 * 86_400.0;
/// Tags of a study.
pub const TAGS_MAX: usize = 20;
/// Retries of a trial after failures or stalls: more only hides that something is broken.
pub const RETRIES_MAX: i64 = 100;
/// Seconds before a retry: a day.
pub const BACKOFF_SECONDS_MAX: f64 = 86_400.0;
/// The weight of a study beside others; a thousandfold share is as good as all.
pub const WEIGHT_MAX: f64 = 1_000.0;

// ---- data: sources and formats ----

/// The classes of one dataset. Past it, integer labels are a regression's values or a mistake.
pub const DATASET_CLASSES_MAX: u32 = 65_536;
/// Columns that `one_hot` names.
pub const ONE_HOT_COLUMNS_MAX: usize = 1_000;
/// Bytes in the name of a class or a category that a table holds: all of them stay in memory, and
/// go into each artifact. More is a text, not a name.
pub const CLASS_NAME_BYTES_MAX: usize = 1_000;
/// Folds of a cross-validation: each trains a network anew. 5 and 10 are usual.
pub const FOLDS_MAX: i64 = 100;

// ---- The trainer ----

/// Rows of a validation batch, where the training batch is not larger: small batches only cost time
/// there. Never more than two training batches, whose activations have no gradients and take what
/// those of one take that have.
pub const VALIDATION_ROWS: usize = 128;
