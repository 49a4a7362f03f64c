//! The OpenAPI schema of the study document: what [`Study::parse`] accepts, field by field.
//!
//! Written as JSON and read into utoipa's types. Names of closed sets and all bounds come from where the parser has them; a test of
//! the `openapi` crate holds field names, bounds and examples against the parser. What JSON Schema cannot say (a hyperparameter that
//! is inactive at a place, shapes that do not fit) only the parser and the pre-flight say.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};
use utoipa::openapi::{RefOr, Schema};

use crate::dataset::Scale;
use crate::limits;
use crate::network::{Activation, Initializer, Padding};
use crate::sampler::SamplerName;
use crate::space::Sampling;
use crate::study::{DeviceClass, Direction, Study};
use crate::training::{Loss, Metric, OPTIMIZERS};

impl utoipa::PartialSchema for Study {
    fn schema() -> RefOr<Schema> {
        typed(study())
    }
}

impl utoipa::ToSchema for Study {
    fn name() -> Cow<'static, str> {
        "Study".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(components().into_iter().map(|(name, json)| (name.to_owned(), typed(json))));
    }
}

fn typed(json: Json) -> RefOr<Schema> {
    serde_json::from_value(json).expect("what stands in this file is a schema")
}

/// What [`study`] refers to, by name.
fn components() -> Vec<(&'static str, Json)> {
    [space(), network(), layers(), training(), dataset(), policies()].concat()
}

#[rustfmt::skip] // A table: one line for each field.
fn study() -> Json {
    let exact = limits::EXACT_INTEGER_MAX;
    object("A study: what to search, what to train, on what data, and how to judge it.", vec![
        must("name", text(limits::NAME_BYTES_MAX), "What people call it: 1 to 100 bytes, not all of them blank, no control characters."),
        may("seed", integer(0, exact - 1), "Where all its randomness comes from. Drawn and echoed where it is left out."),
        or("space", json!([]), array(refer("Hyperparameter"), 0, limits::DECLARATIONS_MAX), "The search space, in order: parents before children."),
        must("network", array(refer("NetworkItem"), 1, limits::LAYERS_MAX), "The layers, in order. The input shape comes from the dataset."),
        must("training", refer("Training"), "How a trial is trained."),
        must("dataset", refer("Dataset"), "What is trained on."),
        must("objective", refer("Objective"), "What makes a trial better than another."),
        or("sampler", json!({"name": "random"}), refer("Sampler"), "Who suggests points."),
        or("pruner", json!({"name": "none"}), refer("Pruner"), "Who stops bad trials early."),
        may("max_trials", integer(1, limits::TRIALS_MAX as i64), "How many trials at most. Left out: all points of a grid, else 10."),
        may("max_parallel", integer(1, limits::PARALLEL_MAX as i64), "How many trials run at once at most. Left out: as many as trainers offer."),
        may("max_trial_seconds", number(0.001, limits::TRIAL_SECONDS_MAX), "How long a trial may run, in seconds. Left out: as long as it takes."),
        or("device", json!("any"), names(DeviceClass::ALL, |name| name.as_str()), "Which trainers may run it."),
        or("weight", json!(1), number(1.0 / limits::WEIGHT_MAX, limits::WEIGHT_MAX), "Its share of the trainers beside other studies."),
        may("retry", refer("Retry"), "When a trial is tried again."),
        may("early_stop", refer("EarlyStop"), "When the study gives up."),
        or("tags", json!({}), tags(), "For the user."),
    ])
}

fn tags() -> Json {
    json!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": limits::TEXT_BYTES_MAX},
        "propertyNames": text(limits::NAME_BYTES_MAX),
        "maxProperties": limits::TAGS_MAX,
    })
}

#[rustfmt::skip] // A table: one line for each field.
fn space() -> Vec<(&'static str, Json)> {
    let exact = || integer(-limits::EXACT_INTEGER_MAX, limits::EXACT_INTEGER_MAX);
    let sampling = || names(Sampling::ALL, |name| name.as_str());
    let spread = "How values are spread. Under log and reverse_log the range is above 0 and the step a multiplier above 1.";
    let hyperparameter = |kind: &str, doc: &str, own: Vec<Field>, default: Json| {
        let head = vec![
            must("name", text(limits::NAME_BYTES_MAX), "Unique in the space: 1 to 100 bytes, no control characters."),
            must("type", constant(kind), "The kind of hyperparameter."),
        ];
        let common = vec![
            may("default", default, "One of its values; a grid tries it first where it is not among the grid's own."),
            may("when", refer("When"), "Active only where this holds."),
            may("per", text(limits::NAME_BYTES_MAX), "An earlier int that is not itself per: one hyperparameter for each repetition."),
        ];
        object(doc, [head, own, common].concat())
    };
    vec![
        ("Hyperparameter", tagged("type", "One hyperparameter.", &[
            ("int", "IntHyperparameter"), ("float", "FloatHyperparameter"), ("choice", "ChoiceHyperparameter"),
            ("boolean", "BooleanHyperparameter"), ("fixed", "FixedHyperparameter"),
        ])),
        ("IntHyperparameter", hyperparameter("int", "Whole numbers.", vec![
            must("min_value", exact(), "The smallest value."),
            must("max_value", exact(), "No value is larger."),
            may("step", integer(1, limits::EXACT_INTEGER_MAX), "The distance between neighbours, 1 where it is left out; a multiplier under log and reverse_log."),
            or("sampling", json!("linear"), sampling(), spread),
        ], exact())),
        ("FloatHyperparameter", hyperparameter("float", "Numbers.", vec![
            must("min_value", json!({"type": "number"}), "The smallest value."),
            must("max_value", json!({"type": "number"}), "No value is larger."),
            may("step", json!({"type": "number", "exclusiveMinimum": 0}), "The distance between neighbours; a multiplier under log and reverse_log. Left out: a continuum."),
            or("sampling", json!("linear"), sampling(), spread),
        ], json!({"type": "number"}))),
        ("ChoiceHyperparameter", hyperparameter("choice", "One of a list.", vec![
            must("values", unique(array(scalar(), 1, limits::CHOICES_MAX)), "All numbers, all strings (of at most 256 bytes) or all booleans, each once."),
            may("ordered", json!({"type": "boolean"}), "Whether their order means something. Left out: true for numbers. Only numbers have an order."),
        ], scalar())),
        ("BooleanHyperparameter", hyperparameter("boolean", "True or false.", vec![], json!({"type": "boolean"}))),
        ("FixedHyperparameter", hyperparameter("fixed", "One value.", vec![must("value", scalar(), "The value; a string has at most 256 bytes.")], scalar())),
        ("When", json!({
            "type": "object",
            "description": "Holds where each of these hyperparameters is active and has one of the values listed for it.",
            "additionalProperties": array(scalar(), 1, limits::CHOICES_MAX),
        })),
        ("Reference", object("The value of a hyperparameter, or what stands in its cases.", vec![
            must("hp", json!({"type": "string"}), "The name of a hyperparameter that is active here."),
            may("cases", json!({"type": "object", "additionalProperties": true}), "For each of its values, as a string: what stands here then, which may refer to hyperparameters in turn."),
        ])),
    ]
}

#[rustfmt::skip] // A table: one line for each field.
fn network() -> Vec<(&'static str, Json)> {
    let count = object("A hyperparameter that counts.", vec![must("hp", json!({"type": "string"}), "The name of an int between 0 and 64.")]);
    let inner = || one_of(vec![refer("Layer"), refer("LayerCases")]);
    vec![
        ("NetworkItem", described("A layer, a choice between layers, or a repetition of layers.", one_of(vec![refer("Layer"), refer("LayerCases"), refer("Repeat")]))),
        ("LayerCases", object("A choice between layers by a hyperparameter.", vec![
            must("hp", json!({"type": "string"}), "The name of a hyperparameter that is active here."),
            must("cases", map(one_of(vec![refer("Layer"), refer("LayerCases"), json!({"type": "null"})])), "For each of its values, as a string: a layer, or null for none."),
        ])),
        ("Repeat", object("Layers, repeated.", vec![
            must("repeat", one_of(vec![integer(1, limits::REPEATS_MAX as i64), count]), "How often."),
            must("layers", array(inner(), 0, limits::LAYERS_MAX), "The layers of each repetition; a per hyperparameter of the same count means that of the repetition."),
            may("when", refer("When"), "There only where this holds."),
        ])),
    ]
}

#[rustfmt::skip] // A table: one line for each field.
fn layers() -> Vec<(&'static str, Json)> {
    let size = || integer(1, limits::LAYER_SIZE_MAX);
    let dimension = one_of(vec![constant_of("integer", json!(-1)), size(), refer("Reference")]);
    let pair = |null: &[Json]| one_of([&[size(), array(tunable(size()), 2, 2), refer("Reference")], null].concat());
    let any_number = || tunable(json!({"type": "number"}));
    let activation = || names(Activation::ALL, |name| name.as_str());
    let initializer = || tunable(names(Initializer::ALL, |name| name.as_str()));
    let padding = || or("padding", json!("valid"), tunable(names(Padding::ALL, |name| name.as_str())), "What happens at the edges.");
    let affine = || vec![
        or("activation", json!("linear"), tunable(nullable(activation())), "Applied to the output; null is linear."),
        or("use_bias", json!(true), tunable(json!({"type": "boolean"})), "Whether there is a bias."),
        or("kernel_initializer", json!("glorot_uniform"), initializer(), "How the kernel starts."),
        or("bias_initializer", json!("zeros"), initializer(), "How the bias starts."),
    ];
    let layer = |class: &str, doc: &str, arguments: Vec<Field>| {
        let head = vec![must("layer", constant(class), "Keras's class name."), may("when", refer("When"), "There only where this holds.")];
        object(doc, [head, arguments].concat())
    };
    let layers = vec![
        ("FlattenLayer", layer("Flatten", "All dimensions of a row become one.", vec![])),
        ("ReshapeLayer", layer("Reshape", "A row takes another shape.", vec![
            must("target_shape", array(dimension, 1, limits::RANK_MAX), "The new shape of a row; one dimension may be -1: what is left."),
        ])),
        ("RescalingLayer", layer("Rescaling", "x * scale + offset.", vec![must("scale", any_number(), "The factor."), or("offset", json!(0), any_number(), "What is added.")])),
        ("DenseLayer", layer("Dense", "A product with a kernel over the last dimension.", [vec![must("units", tunable(size()), "Size of the output's last dimension.")], affine()].concat())),
        ("ActivationLayer", layer("Activation", "An activation on its own.", vec![must("activation", tunable(activation()), "The function.")])),
        ("DropoutLayer", layer("Dropout", "Sets a fraction of the inputs to zero in training, and scales the rest up.", vec![
            must("rate", tunable(number(0.0, limits::DROPOUT_RATE_MAX)), "The fraction."),
        ])),
        ("Conv2DLayer", layer("Conv2D", "A convolution over (height, width, channels).", [vec![
            must("filters", tunable(size()), "Channels of the output."),
            must("kernel_size", pair(&[]), "The window: one size for both, or [height, width]."),
            or("strides", json!([1, 1]), pair(&[]), "Steps of the window: one size for both, or [height, width]."),
            padding(),
        ], affine()].concat())),
        ("MaxPooling2DLayer", layer("MaxPooling2D", "The largest value of each window over (height, width, channels).", vec![
            or("pool_size", json!([2, 2]), pair(&[]), "The window: one size for both, or [height, width]."),
            may("strides", pair(&[json!({"type": "null"})]), "Steps of the window. Left out or null: pool_size."),
            padding(),
        ])),
    ];
    let by_class: Vec<(&str, &str)> = layers.iter().map(|(name, _)| (name.strip_suffix("Layer").unwrap_or(name), *name)).collect();
    [vec![("Layer", tagged("layer", "A layer under Keras's class and argument names, with Keras's defaults.", &by_class))], layers].concat()
}

#[rustfmt::skip] // A table: one line for each field.
fn training() -> Vec<(&'static str, Json)> {
    let metrics = array(names(Metric::ALL, |name| name.as_str()), 0, limits::METRICS_MAX);
    let decay = || tunable(number(0.0, limits::DECAY_MAX));
    let learning_rate = |default: f64| or("learning_rate", json!(default), tunable(number(0.0, limits::LEARNING_RATE_MAX)), "Step size.");
    let optimizer = json!({"type": "string", "enum": OPTIMIZERS});
    vec![
        ("Training", object("How a trial is trained, under Keras's names with Keras's defaults.", vec![
            must("optimizer", refer("Optimizer"), "How weights follow gradients."),
            must("loss", tunable(names(Loss::ALL, |name| name.as_str())), "What is minimised."),
            or("metrics", json!([]), unique(metrics), "What is logged besides the loss; the same for all trials."),
            or("batch_size", json!(32), tunable(integer(1, limits::BATCH_SIZE_MAX)), "Rows in a step."),
            or("epochs", json!(1), tunable(integer(1, limits::EPOCHS_MAX)), "Passes over the training rows."),
        ])),
        ("Optimizer", described("An optimiser: its name, or an object with its arguments.", one_of(vec![
            optimizer, refer("AdamOptimizer"), refer("SgdOptimizer"), refer("OptimizerReference"),
        ]))),
        ("OptimizerReference", object("An optimiser by a hyperparameter.", vec![
            must("hp", json!({"type": "string"}), "The name of a hyperparameter that is active here; without cases, its values are names of optimisers."),
            may("cases", map(refer("Optimizer")), "For each of its values, as a string: an optimiser."),
        ])),
        ("AdamOptimizer", object("Adam (Kingma and Ba 2014).", vec![
            must("name", constant("adam"), "Keras's name."),
            learning_rate(0.001),
            or("beta_1", json!(0.9), decay(), "Decay of the first moment."),
            or("beta_2", json!(0.999), decay(), "Decay of the second moment."),
            or("epsilon", json!(1e-7), tunable(number(limits::EPSILON_MIN, 1.0)), "Keeps the quotient finite."),
        ])),
        ("SgdOptimizer", object("Gradient descent with momentum.", vec![
            must("name", constant("sgd"), "Keras's name."),
            learning_rate(0.01),
            or("momentum", json!(0), decay(), "How much of the last step is kept."),
        ])),
    ]
}

#[rustfmt::skip] // A table: one line for each field.
fn dataset() -> Vec<(&'static str, Json)> {
    let path = || text(limits::PATH_BYTES_MAX);
    let ending = |pattern: &str| json!({"type": "string", "pattern": pattern, "minLength": 1, "maxLength": limits::PATH_BYTES_MAX});
    let pair = |what: &str| vec![must("features", path(), what), must("labels", path(), what)];
    let files = || pair("An IDX file below the dataset folder.");
    let label = || must("label", path(), "The name of the column to predict.");
    let one_hot = || or("one_hot", json!([]), unique(array(path(), 0, limits::ONE_HOT_COLUMNS_MAX)), "Feature columns of texts or integers, each of which becomes one column of 0 and 1 for each category that occurs in the file.");
    let weight = |what: &str| may("sample_weight", path(), &format!("The {what} with a weight for each row: at least 0, not all 0."));
    let from = |doc: &str, validation: &'static str, source: Vec<Field>| {
        let common = vec![
            or("validation_split", json!(0), json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}), "The fraction of rows held out for validation; not beside validation."),
            may("validation", refer(validation), "Where the validation rows are."),
            may("folds", integer(2, limits::FOLDS_MAX), "Cross-validation: the rows in so many parts, each of which validates once; not beside validation_split or validation."),
            or("shuffle", json!(true), json!({"type": "boolean"}), "Whether rows are shuffled: before the split, and in each epoch."),
            or("scale", json!("none"), tunable(names(Scale::ALL, |name| name.as_str())), "How features are scaled; statistics come from the training rows only."),
        ];
        object(doc, [source, common].concat())
    };
    vec![
        ("Dataset", described("Where the rows come from, and how they are split and scaled.", one_of(vec![
            refer("BuiltinDataset"), refer("CsvDataset"), refer("ParquetDataset"), refer("ArraysDataset"), refer("ImagesDataset"), refer("IdxDataset"),
        ]))),
        ("BuiltinDataset", from("A dataset inside the program.", "DatasetFiles", vec![
            must("source", json!({"type": "string", "pattern": "^builtin:"}), "builtin:NAME, such as builtin:digits; GET /v1/datasets lists them."),
        ])),
        ("CsvDataset", from("A CSV file.", "DatasetFiles", vec![
            must("source", ending(r"^(?!builtin:)(?!.*(/|\.npz|\.safetensors|\.parquet)$)"), "A CSV file below the dataset folder."),
            label(), one_hot(), weight("column"),
        ])),
        ("ParquetDataset", from("A Parquet file.", "DatasetFiles", vec![
            must("source", ending(r"^(?!builtin:).*\.parquet$"), "A Parquet file below the dataset folder; its name ends in .parquet."),
            label(), one_hot(), weight("column"),
        ])),
        ("ArraysDataset", from("Arrays of one file: NPZ, as Keras ships MNIST, or safetensors.", "DatasetArrays", [
            vec![must("source", ending(r"^(?!builtin:).*\.(npz|safetensors)$"), "A file below the dataset folder; its name ends in .npz or .safetensors.")],
            pair("The name of an array in the file."),
            vec![weight("array")],
        ].concat())),
        ("ImagesDataset", from("A folder of images: in it one folder for each class, with PNG and JPEG files of one size.", "DatasetFiles", vec![
            must("source", ending(r"^(?!builtin:).*/$"), "A folder below the dataset folder; it ends in /."),
        ])),
        ("IdxDataset", from("A pair of IDX files, as MNIST ships.", "DatasetFiles", files())),
        ("DatasetFiles", object("A pair of files.", files())),
        ("DatasetArrays", object("A pair of arrays in the file of the source.", pair("The name of an array in the file."))),
    ]
}

#[rustfmt::skip] // A table: one line for each field.
fn policies() -> Vec<(&'static str, Json)> {
    let training = || std::iter::once("loss").chain(Metric::ALL.iter().map(|metric| metric.as_str()));
    let logged: Vec<String> = training().map(str::to_owned).chain(training().map(|name| format!("val_{name}"))).collect();
    let retries = |least| integer(least, limits::RETRIES_MAX);
    vec![
        ("Objective", object("What makes a trial better than another.", vec![
            must("metric", json!({"type": "string", "enum": logged}), "A logged metric: loss, one of training's metrics, or val_ before it where rows are held out. A trial's value is its best over the epochs."),
            may("direction", names(Direction::ALL, |name| name.as_str()), "Which way is better. Left out: maximize for an accuracy, else minimize."),
        ])),
        ("Sampler", object("Who suggests points.", vec![
            must("name", names(SamplerName::ALL, |name| name.as_str()), "random: each hyperparameter from its own prior, no point of a finite space twice; grid: every point of the grid, in order."),
        ])),
        ("Pruner", object("Who stops bad trials early.", vec![must("name", constant("none"), "none: every trial trains to its end.")])),
        ("Retry", object("When a trial is tried again.", vec![
            or("max_failures", json!(0), retries(0), "Failures that may be tried again; the next is final."),
            or("max_stalls", json!(3), retries(0), "Lost leases that may be tried again; the next is final."),
            or("backoff_seconds", json!(1), number(0.0, limits::BACKOFF_SECONDS_MAX), "Seconds before the first retry; doubled for each further one."),
        ])),
        ("EarlyStop", object("When the study gives up.", vec![or("max_failures_in_a_row", json!(3), retries(1), "Failed trials in a row that fail the study, in the order of their ends.")])),
    ]
}

#[derive(Clone)]
struct Field {
    name: &'static str,
    required: bool,
    schema: Json,
}

/// A field that must be there.
fn must(name: &'static str, schema: Json, doc: &str) -> Field {
    Field { name, required: true, schema: described(doc, schema) }
}

/// A field that may be left out.
fn may(name: &'static str, schema: Json, doc: &str) -> Field {
    Field { required: false, ..must(name, schema, doc) }
}

/// A field with a default.
fn or(name: &'static str, default: Json, mut schema: Json, doc: &str) -> Field {
    schema["default"] = default;
    may(name, schema, doc)
}

/// An object with these fields and no others.
fn object(doc: &str, fields: Vec<Field>) -> Json {
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let properties: Map<String, Json> = fields.into_iter().map(|field| (field.name.to_owned(), field.schema)).collect();
    let mut object = json!({"type": "object", "description": doc, "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn map(values: Json) -> Json {
    json!({"type": "object", "additionalProperties": values})
}

/// One of `components`, told apart by the field `tag`: pairs of its value and the component's name.
fn tagged(tag: &str, doc: &str, components: &[(&str, &str)]) -> Json {
    let location = |component: &str| format!("#/components/schemas/{component}");
    let mapping: Map<String, Json> =
        components.iter().map(|(value, component)| ((*value).to_owned(), json!(location(component)))).collect();
    let mut schema = described(doc, one_of(components.iter().map(|(_, component)| refer(component)).collect()));
    schema["discriminator"] = json!({"propertyName": tag, "mapping": mapping});
    schema
}

fn described(doc: &str, mut schema: Json) -> Json {
    schema["description"] = json!(doc);
    schema
}

fn one_of(schemas: Vec<Json>) -> Json {
    json!({"oneOf": schemas})
}

/// `schema`, or a hyperparameter that stands for it.
fn tunable(schema: Json) -> Json {
    one_of(vec![schema, refer("Reference")])
}

fn refer(component: &str) -> Json {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

fn array(items: Json, min: usize, max: usize) -> Json {
    let mut array = json!({"type": "array", "items": items, "maxItems": max});
    if min > 0 {
        array["minItems"] = json!(min);
    }
    array
}

fn unique(mut array: Json) -> Json {
    array["uniqueItems"] = json!(true);
    array
}

fn integer(min: i64, max: i64) -> Json {
    json!({"type": "integer", "minimum": min, "maximum": max})
}

fn number(min: f64, max: f64) -> Json {
    json!({"type": "number", "minimum": min, "maximum": max})
}

fn scalar() -> Json {
    json!({"type": ["string", "number", "boolean"]})
}

/// A string of at most `max` bytes. JSON Schema counts characters, of which there are no more.
fn text(max: usize) -> Json {
    json!({"type": "string", "minLength": 1, "maxLength": max})
}

fn names<T: Copy>(all: &[T], as_str: fn(T) -> &'static str) -> Json {
    let all: Vec<&str> = all.iter().map(|name| as_str(*name)).collect();
    json!({"type": "string", "enum": all})
}

fn nullable(mut names: Json) -> Json {
    names["type"] = json!(["string", "null"]);
    if let Some(names) = names["enum"].as_array_mut() {
        names.push(Json::Null);
    }
    names
}

fn constant(text: &str) -> Json {
    constant_of("string", json!(text))
}

fn constant_of(kind: &str, value: Json) -> Json {
    json!({"type": kind, "enum": [value]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utoipa_keeps_all_that_is_written_here() {
        /// Numbers without regard to `1` or `1.0`.
        fn plain(json: &Json) -> Json {
            match json {
                Json::Number(number) => json!(number.as_f64()),
                Json::Array(items) => items.iter().map(plain).collect(),
                Json::Object(members) => Json::Object(members.iter().map(|(name, member)| (name.clone(), plain(member))).collect()),
                other => other.clone(),
            }
        }
        for (name, written) in components().into_iter().chain([("Study", study())]) {
            let kept = serde_json::to_value(typed(written.clone())).unwrap();
            assert_eq!(plain(&kept), plain(&written), "{name}");
        }
    }
}
