//! Every bound of Chandler in one file, each with its reason.

/// The body of a request. The largest sensible study is a few hundred kilobytes; 10 MB of JSON is
/// an accident or an attack.
pub const BODY_BYTES_MAX: usize = 1 << 20;

// ---- store: the embedded Redis child and the artifacts ----

/// How long a Redis child may take until it answers PING, in seconds. A million trials are some 250
/// MB of append-only file, loaded in ten seconds.
pub const REDIS_READY_SECONDS_MAX: u64 = 120;
/// How long a Redis child may take to end after it was asked to, in seconds, before it is killed.
/// Its append-only file is whole either way.
pub const REDIS_STOP_SECONDS_MAX: u64 = 10;
/// One answer of a Redis child on its socket, in milliseconds; a server that is slower than this is
/// asked again until its own bound has passed.
pub const REDIS_CHILD_ANSWER_MS: u64 = 1_000;
/// How many times the Redis child may die within [`REDIS_DEATHS_WINDOW_SECONDS`] before the service
/// gives up: more often, it is not an accident but its data or its machine.
pub const REDIS_DEATHS_MAX: usize = 5;
/// How long the death of a Redis child counts, in seconds: the restarts of a minute wait 1.5 s
/// together.
pub const REDIS_DEATHS_WINDOW_SECONDS: u64 = 60;
/// The first wait before a dead Redis child is started again, in milliseconds; it doubles with each
/// death of the last minute.
pub const REDIS_RESTART_BACKOFF_MS: u64 = 100;
/// Bytes that must be free on the disk of a Redis child, or it takes no more writes: more than
/// Redis and trainers write between two looks.
pub const REDIS_DISK_BYTES_MIN: u64 = 16 << 20;
/// Bytes that must be free before a Redis child whose disk was full takes writes again: enough for
/// minutes, so that it does not change back at once.
pub const REDIS_DISK_BYTES_RESUME: u64 = 24 << 20;
/// How long a Redis child takes no writes after one has failed for lack of space, in milliseconds,
/// although the disk has free space: a quota may be used up.
pub const REDIS_DISK_RETRY_MS: u64 = 10_000;
/// How many of the last log lines of a Redis child are kept for the message that tells why it
/// ended.
pub const REDIS_LOG_LINES_MAX: usize = 20;
/// The longest log line of a Redis child that is kept, in bytes; the rest is cut.
pub const REDIS_LOG_LINE_BYTES_MAX: usize = 1000;
/// The longest path of a unix socket that every system takes, in bytes: macOS has 104 with the
/// closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 100;
/// The largest artifact, in bytes. It is held in memory as a whole: 2 GiB are the weights of 500
/// million parameters.
pub const ARTIFACT_BYTES_MAX: usize = 2 << 30;
/// The largest checkpoint, in bytes. It is written and read tensor by tensor, so disks and networks
/// set the bound: minutes of either.
pub const CHECKPOINT_BYTES_MAX: u64 = 64 << 30;
/// The header of a checkpoint, in bytes: what the safetensors crate reads, and more than the curve
/// in it can take.
pub const CHECKPOINT_HEADER_BYTES_MAX: u64 = 100_000_000;
/// A part of a checkpoint on its way to or from a bucket, in bytes: 64 GiB in the 10,000 parts that
/// S3 takes, and seconds of a slow network.
pub const PART_BYTES: usize = 10 << 20;
/// Parts on their way to a bucket at a time, each in memory.
pub const UPLOADS_AT_ONCE: usize = 2;
/// How many artifacts of a deleted study are removed in one call, so that a caller's tick stays
/// short.
pub const ARTIFACT_DELETE_BATCH: usize = 1000;

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

/// The bytes of one dataset in memory, and of what is read from one of its files (inflated).
/// Fashion-sized sets have 50 MB; a gzip bomb ends here.
pub const DATASET_BYTES_MAX: u64 = 1 << 30;
/// The rows of one dataset: row numbers are 32-bit, and an epoch's order of them is held per trial.
pub const DATASET_ROWS_MAX: u64 = 50_000_000;
/// The numbers in one row: an image of 1,024 × 1,024.
pub const DATASET_ROW_VALUES_MAX: usize = 1 << 20;
/// The classes of one dataset. Past it, integer labels are a regression's values or a mistake.
pub const DATASET_CLASSES_MAX: u32 = 65_536;
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
/// an API has [`HTTP_BLOCKING_THREADS`].
pub const DATASET_ASKERS_MAX: usize = SLOTS_MAX;
/// How long a dataset may be read while a client waits for the answer, in seconds, and how long it
/// may wait for its turn before: proxies and clients often give up after a minute. The largest CSV
/// that is allowed takes half of that.
pub const DATASET_POST_SECONDS_MAX: u64 = 60;
/// How long a trainer may read a dataset, and wait for its turn before, in seconds: what an API
/// could read must be read on a slower machine and disk, too.
pub const DATASET_TRAINER_SECONDS_MAX: u64 = 600;
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
/// Columns that `one_hot` names.
pub const ONE_HOT_COLUMNS_MAX: usize = 1_000;
/// Categories of one such column: past it, a column is an identifier or a text rather than a
/// category.
pub const CATEGORIES_MAX: usize = 1_000;
/// Bytes in the name of a class or a category that a table holds: all of them stay in memory, and
/// go into each artifact. More is a text, not a name.
pub const CLASS_NAME_BYTES_MAX: usize = 1_000;
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
/// Folds of a cross-validation: each trains a network anew. 5 and 10 are usual.
pub const FOLDS_MAX: i64 = 100;
/// Row numbers in all folds of a study together: 1 GB.
pub const FOLD_ROWS_MAX: u64 = 250_000_000;

// ---- store: the queue ----

/// Trials queued ahead of the slots that could run them: a trainer never waits for a suggestion,
/// and a change of the study acts soon.
pub const QUEUE_AHEAD: u64 = 64;
/// Trials in one enqueue call: Redis is busy for about a millisecond, and suggesting stays in step
/// with what other processes enqueue.
pub const ENQUEUE_BATCH: u64 = 100;
/// Enqueue calls of one top_up: the longest queue there can be, and as many again that lost a race
/// with another process.
pub const TOP_UP_ROUNDS_MAX: u64 = 2 * (PARALLEL_MAX + QUEUE_AHEAD) / ENQUEUE_BATCH;
/// Tokens on a wake list. They are hints: each waking trainer that leaves work wakes the next.
pub const WAKE_TOKENS_MAX: u64 = 16;
/// Events that a study keeps, about 25 B each; a viewer that was away longer reads the study anew.
pub const EVENTS_KEPT: u64 = 1_000;
/// Earlier attempts that a trial keeps, the last ones. Releases are not bounded by any budget.
pub const ATTEMPTS_KEPT: u64 = 16;
/// Bytes of an error message that are kept.
pub const ERROR_BYTES_MAX: usize = 2_000;
/// Studies looked at, and delayed trials of each promoted, in one call.
pub const DUE_BATCH: u64 = 32;
/// Trials of a closed study cancelled, and expired leases of a study taken back, in one call: a few
/// milliseconds of Redis.
pub const SWEEP_BATCH: u64 = 500;
/// Studies swept, purged or topped up in one tick. A purge is some dozen keys, whose memory Redis
/// frees in the background.
pub const CLOSING_BATCH: u64 = 32;
/// Calls that empty a closing study before the rest is left to the reaper: the longest queue there
/// can be.
pub const SWEEPS_MAX: u64 = (PARALLEL_MAX + QUEUE_AHEAD) / SWEEP_BATCH + 2;
/// Best trials kept in order; more are sorted from the packed column when asked for. A zset of 128
/// or fewer is a compact listpack.
pub const BEST_KEPT: u64 = 100;
/// Studies that one list call looks at for the next match.
pub const STUDIES_SCANNED_MAX: u64 = 1_000;
/// Trials that one list call looks at for matches of its filter; past it, the page is short and its
/// cursor goes on.
pub const TRIALS_SCANNED_MAX: usize = 20_000;
/// Entries of a list answer.
pub const PAGE_MAX: usize = 1_000;
/// Studies which a claim skips in a ring, because the trainer lacks their datasets or the memory
/// that they take.
pub const REFUSED_SCANNED_MAX: u64 = 256;
/// Datasets that a claim may refuse.
pub const REFUSED_MAX: usize = 64;
/// Characters of the reason that a trainer's line gives for each: a path and a sentence; all of
/// them together are some kilobytes.
pub const REFUSAL_CHARACTERS_MAX: usize = 300;
/// Studies of each device class, and with running trials, that a scrape looks at for what they wait
/// for: a millisecond of Redis. Studies that nobody serves come first.
pub const WAITING_SCANNED_MAX: u64 = 256;
/// Leases in one claim: the slots of the largest machine.
pub const CLAIMS_MAX: usize = 256;
/// Points in one report; a trainer that was cut off for longer sends several.
pub const REPORT_POINTS_MAX: usize = 1_000;
/// What a study without finished trials is charged for a claim, in ms; settled with the truth at
/// the end.
pub const FIRST_CHARGE_MS: u64 = 1_000;
/// The longest wait before a retry, in ms: a day.
pub const BACKOFF_MS_MAX: u64 = 86_400_000;
/// A trainer without a sign of life for so long is no longer listed and its slots no longer count,
/// in ms: four leases.
pub const TRAINER_TTL_MS: u64 = 120_000;
/// How long an idempotency key is remembered, in ms: a day.
pub const IDEMPOTENCY_MS: u64 = 86_400_000;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Bytes of a trainer's id and of its numerics class.
pub const TRAINER_ID_BYTES_MAX: usize = 128;
/// What may be left of an ended trial is removed after this time: a trainer that has lost its lease
/// writes no more by then, though it trains on without Redis for `ORPHAN_SECONDS_MAX`, and a little
/// longer while a call of its waits.
pub const LEFTOVER_MS: u64 = ORPHAN_SECONDS_MAX * 1_000 + LEASE_MS;
/// Ticks that what is to be removed may take before the reaper goes on: an outage is seen after
/// five without it. What is undone comes again.
pub const REMOVAL_TICKS: u32 = 2;
/// A lease: a dead trainer is noticed within one; two of three heartbeats may be lost.
pub const LEASE_MS: u64 = 30_000;
/// Ticks of the reaper in a lease: what time must do happens a few seconds late at most.
pub const TICKS_PER_LEASE: u64 = 10;
/// How long one call of Redis may take in all, its tries together, in ms, where no request waits
/// for it. A script takes milliseconds; an fsync on a busy disk may take seconds, and the first try
/// has half of this.
pub const REDIS_CALL_MS: u64 = 10_000;
/// How long a request that only reads waits for Redis in all, in ms: it can be asked again at no
/// risk.
pub const REDIS_READ_MS: u64 = 5_000;
/// How long a request that changes something waits for Redis in all, in ms. Longer than for reads,
/// because a client does not know the outcome of a change that is given up, and a Redis that waits
/// for its disk mostly answers within seconds.
pub const REDIS_CHANGE_MS: u64 = 10_000;
/// How long a connection to Redis may take, its greeting included, in ms.
pub const REDIS_CONNECT_MS: u64 = 3_000;
/// An answer to the greeting of a connection, in bytes: an error is a line, and protected mode's is
/// the longest, with a thousand.
pub const REDIS_LINE_BYTES_MAX: u64 = 8 << 10;
/// Characters of an error of Redis that are shown: its longest has some 350.
pub const REDIS_ERROR_CHARACTERS_MAX: usize = 500;
/// Tries of one call, each on a fresh connection after the first. Every script may be repeated.
pub const REDIS_TRIES: u32 = 3;
/// The wait before a second try, in ms; doubled for the third.
pub const REDIS_RETRY_MS: u64 = 100;
/// How long a probe or a scrape waits for Redis in all, in ms. A healthy Redis takes milliseconds,
/// Prometheus gives up after ten seconds and an orchestrator's probe often after one to five, and
/// both ask again.
pub const REDIS_PROBE_MS: u64 = 2_000;
/// Commands under way on one connection: the crate's own 50 make a busy API wait for itself.
pub const REDIS_PIPELINE: usize = 1_000;
/// The longest that one wait for work blocks, in ms. The list is a hint only, so a lost token costs
/// no more than this.
pub const WAKE_WAIT_MS_MAX: u64 = 5_000;
/// Studies whose parsed document and sampler a process keeps; when full, it forgets them all.
pub const STUDIES_CACHED_MAX: usize = 256;
/// Lanes: more than any cluster has nodes.
pub const LANES_MAX: u32 = 1_024;

// ---- export ----

/// A model that is exported, in bytes: three copies of it are in memory then, and a protobuf file
/// such as ONNX ends at 2 GiB.
pub const EXPORT_BYTES_MAX: usize = 1 << 30;

// ---- The API ----

/// What a client is told to wait before it tries again after a 503: a restart of Redis takes about
/// a second.
pub const RETRY_AFTER_SECONDS: u64 = 2;
/// Items on a page where the client does not say.
pub const PAGE_DEFAULT: usize = 100;
/// Keys in an API keys file: each is compared at each request.
pub const API_KEYS_MAX: usize = 1_000;
/// A shorter API key could be guessed.
pub const API_KEY_BYTES_MIN: usize = 16;
/// A longer API key is a mistake, such as a certificate in the wrong file.
pub const API_KEY_BYTES_MAX: usize = 1_024;
/// HTTP worker threads: handlers wait for Redis, they do not compute.
pub const HTTP_WORKERS: usize = 2;
/// Threads of each HTTP worker for what blocks: all that may wait for datasets, and as many for
/// what is done in a moment. They end when idle.
pub const HTTP_BLOCKING_THREADS: usize = 2 * DATASET_ASKERS_MAX;
/// Connections to each HTTP worker; more wait in the kernel.
pub const HTTP_CONNECTIONS_MAX: usize = 4_096;
/// Seconds within which a request's head must arrive: a slow sender must not hold a connection for
/// ever.
pub const HTTP_HEAD_SECONDS_MAX: u64 = 10;
/// How long a request's body may take to arrive, in seconds: a megabyte over a poor line.
pub const HTTP_BODY_SECONDS_MAX: u64 = 60;
/// Seconds that a client may read nothing of an answer that waits for it. Then its connection is
/// closed and its memory is free again.
pub const HTTP_STUCK_SECONDS_MAX: u64 = 20;
/// Seconds that requests in flight have to end when the server stops.
pub const HTTP_DRAIN_SECONDS_MAX: u64 = 10;
/// Seconds that the API waits at its start for a Redis that is starting; it looks once a second.
pub const REDIS_START_SECONDS_MAX: u64 = 30;
/// A lease shorter than this ends between two heartbeats on a busy machine.
pub const LEASE_SECONDS_MIN: u64 = 1;
/// A lease longer than this leaves a dead trainer's trial untouched for an hour.
pub const LEASE_SECONDS_MAX: u64 = 3_600;
/// The lease of the trainer of `chandler run`: a crash is noticed soon, and nothing is far away.
pub const RUN_LEASE_SECONDS: u64 = 10;
/// How long `chandler run` waits for its trainer to say that it is there, in seconds: on a loaded
/// machine it takes a second or two.
pub const TRAINER_START_SECONDS_MAX: u64 = 60;
/// Milliseconds between two starts of a trainer child that keeps dying.
pub const TRAINER_RESTART_MS: u64 = 2_000;
/// Seconds that the trainer child has to hand its trials back.
pub const TRAINER_STOP_SECONDS_MAX: u64 = 15;

// ---- The trainer ----

/// Seconds that a trainer keeps a trial, or a result, without any answer of Redis: longer than a
/// machine takes to come back, and then somebody else has it.
pub const ORPHAN_SECONDS_MAX: u64 = 600;
/// Seconds that a trainer which shuts down tries to hand back a trial while Redis does not answer:
/// service managers kill after ten or more.
pub const HAND_BACK_SECONDS_MAX: u64 = 8;
/// Milliseconds between two tries while Redis does not answer.
pub const TRAINER_RETRY_MS: u64 = 1_000;
/// Milliseconds that a trainer which stops tries to take leave: without it, it is forgotten in
/// time.
pub const LEAVE_MS: u64 = 1_000;
/// Seconds that a trainer refuses trials of a dataset it lacks while its files stay as they are:
/// memory to read it may have come free.
pub const REFUSE_SECONDS: u64 = 60;
/// Milliseconds between two looks at the files of refused datasets. A look at a folder of a million
/// images takes a third of a second: see [`REFUSED_LOOK_SHARE`].
pub const REFUSED_LOOK_MS: u64 = 1_000;
/// The most of a core that looks at the files of refused datasets may take: one part of this.
pub const REFUSED_LOOK_SHARE: u32 = 20;
/// Seconds between two checkpoints of a trial: what a crash costs at most, beside the epoch at
/// hand. Each is a file of three times the weights or so.
pub const CHECKPOINT_SECONDS: u64 = 30;
/// The longest time between two checkpoints, in seconds: a day.
pub const CHECKPOINT_SECONDS_MAX: u64 = 86_400;
/// Checkpoints of a trial that are looked through for the newest: each attempt leaves one or two.
pub const CHECKPOINTS_LISTED_MAX: usize = 1_000;
/// Checkpoints of a trial that are tried, one after the other: many may be for other classes of
/// machines, and from a bucket each is copied.
pub const CHECKPOINTS_TRIED_MAX: usize = 16;
/// Seconds that a trainer takes at most to remove what a trial needs no more: its slot waits, and
/// the reaper will do it.
pub const CLEAR_SECONDS_MAX: u64 = 5;
/// Milliseconds before artifacts that could not be reached are tried again, doubled after each try
/// up to [`ARTIFACTS_PAUSE_MS_MAX`].
pub const ARTIFACTS_PAUSE_MS: u64 = 500;
/// The longest time between two tries, in ms: so soon after the place is well again, trials go on.
pub const ARTIFACTS_PAUSE_MS_MAX: u64 = 15_000;
/// Seconds that a probe of the artifacts may take before they count as away; a small file takes
/// milliseconds, in a bucket a second.
pub const ARTIFACTS_PROBE_SECONDS: u64 = 10;
/// Seconds after which weights that are still on their way have the artifacts probed: the weights
/// may be large, or the place may hang.
pub const ARTIFACTS_SLOW_SECONDS: u64 = 30;
/// Bytes of a probe: more than the tail that a full disk still has.
pub const ARTIFACTS_PROBE_BYTES: usize = 64 << 10;
/// Rows of a validation batch, where the training batch is not larger: small batches only cost time
/// there. Never more than two training batches, whose activations have no gradients and take what
/// those of one take that have.
pub const VALIDATION_ROWS: usize = 128;
/// Slots of a trainer: each is a thread, and one claim takes no more.
pub const SLOTS_MAX: usize = CLAIMS_MAX;
/// Slots of a GPU that nobody has given a number: enough that one trial's batch is gathered while
/// another's is computed; its memory may allow fewer.
pub const GPU_SLOTS: u32 = 4;
/// What a trial may take of a GPU for each byte that the pre-flight says, whose measure is that of
/// the CPU's kernels. The compositions that run elsewhere took 1.5 to 2 times as much with dense,
/// recurrent and normalising layers and activations, 4 to 10 times with convolutions of 3×3 and
/// pooling, 14 times with convolutions of 5×5 (64 channels, two layers, compositions on the CPU):
/// they keep what each window sees. A trial never counts for more than the device.
pub const GPU_MEMORY_MARGIN: u64 = 15;
/// How long a trial waits for a device's memory, or to be alone on it, before its trainer looks for
/// another one that is idle, and between two looks, in seconds. Where there is one, the trial is
/// handed back. Each look is a list of all trainers, and who is handed back loses its place.
pub const PEER_SECONDS: u64 = 60;
/// A trainer that was silent for longer than the others by so much is not waited for as a peer, in
/// ms: three of its heartbeats.
pub const PEER_SEEN_MS: u64 = TRAINER_TTL_MS / 4;
/// How often a trial that waits for memory looks whether it is to stop, in ms: it is woken where
/// memory comes free.
pub const MEMORY_POLL_MS: u64 = 100;
/// The head of a request to a trainer's metrics page, in bytes.
pub const METRICS_HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections to a trainer's metrics page at once: one Prometheus, and somebody who looks.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// Seconds for one request to a trainer's metrics page, from its first byte to the last of the
/// answer.
pub const METRICS_SECONDS_MAX: u64 = 5;
