//! The OpenAPI schema of the study document: what [`Study::parse`] accepts, field by field.
//!
//! Written as JSON and read into utoipa's types. Names of closed sets and all bounds come from the
//! parser's own tables; a test of the `openapi` crate compares field names, bounds and examples
//! with the parser. Rules that JSON Schema cannot express (a hyperparameter that is inactive at a
//! place, shapes that do not fit) are checked by the parser and the pre-flight only.

mod layers;
mod training;
mod weights;

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};
use utoipa::openapi::{RefOr, Schema};

use crate::dataset::{ArrayFormat, Scale, TableFormat};
use crate::limits;
use crate::sampler::SamplerName;
use crate::space::Sampling;
use crate::study::{DeviceClass, Direction, Study};
use crate::training::METRICS;

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
    serde_json::from_value(json).expect("the JSON in this file is a valid schema")
}

/// The schemas that [`study`] refers to, by name.
fn components() -> Vec<(&'static str, Json)> {
    [
        space(),
        network(),
        layers::components(),
        weights::components(),
        training::components(),
        dataset(),
        policies(),
    ]
    .concat()
}

#[rustfmt::skip] // A table: one line for each field.
fn study() -> Json {
    let exact = limits::EXACT_INTEGER_MAX;
    object("A study: what to search, what to train, on which data, and what counts as better.", vec![
        must("name", text(limits::NAME_BYTES_MAX), "Its name: 1 to 100 bytes, not all blank, no control characters."),
        may("seed", integer(0, exact - 1), "The seed of all random numbers. Left out: drawn at random and shown in `spec`."),
        or("space", json!([]), array(refer("Hyperparameter"), 0, limits::DECLARATIONS_MAX), "The search space, in order: parents before children."),
        must("network", array(refer("NetworkItem"), 1, limits::LAYERS_MAX), "The layers, in order. The input shape comes from the dataset."),
        must("training", refer("Training"), "How a trial is trained."),
        must("dataset", refer("Dataset"), "The data to train on."),
        must("objective", refer("Objective"), "What makes a trial better than another."),
        or("sampler", json!({"name": "random"}), refer("Sampler"), "How points are chosen."),
        or("pruner", json!({"name": "none"}), refer("Pruner"), "Whether poor trials are stopped early."),
        may("max_trials", integer(1, limits::TRIALS_MAX as i64), "The largest number of trials. Left out: all points of a grid, otherwise 10."),
        may("max_parallel", integer(1, limits::PARALLEL_MAX as i64), "The largest number of trials at once. Left out: as many as there are slots."),
        or("executions_per_trial", json!(1), integer(1, limits::EXECUTIONS_MAX), "How often each trial trains its network, with different random numbers; the value is that of the mean."),
        may("max_trial_seconds", number(0.001, limits::TRIAL_SECONDS_MAX), "Time limit of a trial in seconds; it then completes with its best epoch so far. A trial whose first epoch has not ended by then fails as `out_of_time`. Left out: no limit."),
        or("device", json!("any"), names(DeviceClass::NAMES), "Which trainers may run it."),
        or("weight", json!(1), number(1.0 / limits::WEIGHT_MAX, limits::WEIGHT_MAX), "Its share of the slots relative to other studies."),
        may("retry", refer("Retry"), "When a trial is tried again."),
        may("early_stop", refer("EarlyStop"), "When the study gives up."),
        or("tags", json!({}), tags(), "Labels of your own."),
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
    let sampling = || names(Sampling::NAMES);
    let spread = "How values are distributed. Under log and reverse_log, min_value must be above 0 and step is a factor above 1.";
    let default = |value: Json| may("default", value, "One of its values. A grid that cuts a range into ten values tries it first if it is not among them; otherwise it has no effect.");
    let hyperparameter = |kind: &str, doc: &str, own: Vec<Field>| {
        let head = vec![
            must("name", text(limits::NAME_BYTES_MAX), "Unique in the space: 1 to 100 bytes, no control characters."),
            must("type", constant(kind), "The kind of hyperparameter."),
        ];
        let common = vec![
            may("when", refer("When"), "It is active only where this condition holds."),
            may("per", text(limits::NAME_BYTES_MAX), "The name of an earlier int: makes one hyperparameter for each repetition. That int must not be `per` itself."),
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
            may("step", integer(1, limits::EXACT_INTEGER_MAX), "The distance between neighbours, or their ratio under log and reverse_log. Left out: 1."),
            or("sampling", json!("linear"), sampling(), spread),
            default(exact()),
        ])),
        ("FloatHyperparameter", hyperparameter("float", "Numbers.", vec![
            must("min_value", json!({"type": "number"}), "The smallest value."),
            must("max_value", json!({"type": "number"}), "No value is larger."),
            may("step", json!({"type": "number", "exclusiveMinimum": 0}), "The distance between neighbours, or their ratio under log and reverse_log. Left out: every number in the range."),
            or("sampling", json!("linear"), sampling(), spread),
            default(json!({"type": "number"})),
        ])),
        ("ChoiceHyperparameter", hyperparameter("choice", "One of a list.", vec![
            must("values", unique(array(scalar(), 1, limits::CHOICES_MAX)), "All numbers, all strings (of at most 256 bytes) or all booleans; each value once."),
        ])),
        ("BooleanHyperparameter", hyperparameter("boolean", "True or false.", vec![])),
        ("FixedHyperparameter", hyperparameter("fixed", "One value.", vec![must("value", scalar(), "The value; a string has at most 256 bytes.")])),
        ("When", json!({
            "type": "object",
            "description": "Holds if each of these hyperparameters is active and has one of the values listed for it.",
            "additionalProperties": array(scalar(), 1, limits::CHOICES_MAX),
        })),
        ("Reference", object("The value of a hyperparameter, or the case that belongs to it.", vec![
            must("hp", json!({"type": "string"}), "The name of a hyperparameter that is active here."),
            may("cases", json!({"type": "object", "additionalProperties": true}), "For each of its values, as a string: the value to use here. It may refer to hyperparameters too."),
        ])),
    ]
}

#[rustfmt::skip] // A table: one line for each field.
fn network() -> Vec<(&'static str, Json)> {
    let count = object("An int that says how often.", vec![must("hp", json!({"type": "string"}), "The name of an int between 0 and 64.")]);
    let inner = || one_of(vec![refer("Layer"), refer("LayerCases")]);
    vec![
        ("NetworkItem", described("A layer, a choice between layers, or a repetition of layers.", one_of(vec![refer("Layer"), refer("LayerCases"), refer("Repeat")]))),
        ("LayerCases", object("A choice between layers by a hyperparameter.", vec![
            must("hp", json!({"type": "string"}), "The name of a hyperparameter that is active here."),
            must("cases", map(one_of(vec![refer("Layer"), refer("LayerCases"), json!({"type": "null"})])), "For each of its values, as a string: a layer, or null for none."),
        ])),
        ("Repeat", object("Layers, repeated.", vec![
            must("repeat", one_of(vec![integer(1, limits::REPEATS_MAX as i64), count]), "How often."),
            must("layers", array(inner(), 0, limits::LAYERS_MAX), "The layers of each repetition; a `per` hyperparameter of the same count has the value of this repetition."),
            may("when", refer("When"), "The repetition is used only where this condition holds."),
        ])),
    ]
}

#[rustfmt::skip] // A table: one line for each field.
fn dataset() -> Vec<(&'static str, Json)> {
    let path = || text(limits::PATH_BYTES_MAX);
    let ending = |pattern: &str| json!({"type": "string", "pattern": pattern, "minLength": 1, "maxLength": limits::PATH_BYTES_MAX});
    let pair = |what: &str| vec![must("features", path(), what), must("labels", path(), what)];
    let files = || pair("An IDX file in the datasets folder.");
    let label = || must("label", path(), "The name of the column to predict. It holds classes if all values are whole numbers from 0 to k-1, or all are texts, which are numbered in the order of their bytes; otherwise it holds numbers.");
    let one_hot = || or("one_hot", json!([]), unique(array(path(), 0, limits::ONE_HOT_COLUMNS_MAX)), "Feature columns of texts or integers. Each becomes one column of 0 and 1 for every category that occurs in the file.");
    let weight = |what: &str| may("sample_weight", path(), &format!("The {what} with a weight for each row: at least 0, not all 0."));
    let from = |doc: &str, validation: Option<&'static str>, source: Vec<Field>| {
        let common = vec![
            or("validation_split", json!(0), json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}), "The fraction of rows held out for validation. Excludes validation and folds."),
            may("folds", integer(2, limits::FOLDS_MAX), "Cross-validation with this many folds. Excludes validation_split and validation."),
            or("shuffle", json!(true), json!({"type": "boolean"}), "Whether rows are shuffled: before the split, and in each epoch."),
            may("positive_class", json!({"oneOf": [{"type": "string", "minLength": 1, "maxLength": limits::CLASS_NAME_BYTES_MAX}, {"type": "integer", "minimum": 0}]}), "Which of two classes is the positive one, written as in the source. Left out: the second in the order of their numbers, texts or folders."),
            or("scale", json!("none"), tunable(names(Scale::NAMES)), "How features are scaled; statistics come from the training rows only."),
        ];
        let validation = validation.map(|files| may("validation", refer(files), "The validation rows: a pair of IDX files, or of arrays in the same file."));
        object(doc, [source, common, validation.into_iter().collect()].concat())
    };
    let ends = |formats: &[&[&str]]| formats.concat().join("|").replace('.', r"\.");
    let array_ends: Vec<_> = ArrayFormat::ALL.iter().map(|format| format.ends()).collect();
    let tables = TableFormat::ALL.iter().map(|format| {
        let name = format.as_str();
        let others = TableFormat::ALL.iter().filter(|other| *other != format).map(|other| other.ends());
        let (pattern, named) = match *format == TableFormat::DEFAULT {
            true => (format!("(?!.*(/|{})$)", ends(&array_ends.iter().copied().chain(others).collect::<Vec<_>>())), String::new()),
            false => (format!(".*({})$", ends(&[format.ends()])), format!("; its name ends in {}", format.ends().join(" or "))),
        };
        let source = must("source", ending(&format!("^(?!builtin:){pattern}")), &format!("A {name} file in the datasets folder{named}."));
        (format.schema_name(), from(&format!("A {name} file."), None, vec![source, label(), one_hot(), weight("column")]))
    });
    let tables: Vec<_> = tables.collect();
    let sources = ["BuiltinDataset"].into_iter().chain(tables.iter().map(|(name, _)| *name)).chain(["ArraysDataset", "ImagesDataset", "IdxDataset"]);
    let mut schemas = vec![
        ("Dataset", described("Where the rows come from, and how they are split and scaled.", one_of(sources.map(refer).collect()))),
        ("BuiltinDataset", from("A dataset that is built into the program.", None, vec![
            must("source", json!({"type": "string", "pattern": "^builtin:"}), "builtin:NAME, such as builtin:digits; GET /v1/datasets lists them."),
        ])),
    ];
    schemas.extend(tables);
    schemas.extend([
        ("ArraysDataset", from("Arrays of one file: NPZ, as Keras ships MNIST, or safetensors.", Some("DatasetArrays"), [
            vec![must("source", ending(&format!("^(?!builtin:).*({})$", ends(&array_ends))), &format!("A file in the datasets folder; its name ends in {}.", array_ends.concat().join(" or ")))],
            pair("The name of an array in the file."),
            vec![weight("array")],
        ].concat())),
        ("ImagesDataset", from("A folder of images. It has one folder for each class, with PNG and JPEG files of one size.", None, vec![
            must("source", ending(r"^(?!builtin:).*/$"), "A folder in the datasets folder; its name ends in /."),
        ])),
        ("IdxDataset", from("A pair of IDX files, as MNIST ships.", Some("DatasetFiles"), files())),
        ("DatasetFiles", object("A pair of files.", files())),
        ("DatasetArrays", object("A pair of arrays in the file of the source.", pair("The name of an array in the file."))),
    ]);
    schemas
}

#[rustfmt::skip] // A table: one line for each field.
fn policies() -> Vec<(&'static str, Json)> {
    let retries = |least| integer(least, limits::RETRIES_MAX);
    vec![
        ("Objective", object("What makes a trial better than another.", vec![
            must("metric", logged(), "A logged metric: loss or a metric of the training, with val_ before it for the rows held out. An alias counts as its metric. A trial's value is its best over the epochs."),
            may("direction", names(Direction::NAMES), "Which way is better. Left out: maximize for an accuracy or a score, minimize for a loss or an error."),
        ])),
        ("Sampler", object("How points are chosen.", vec![
            must("name", names(SamplerName::NAMES), "random: each hyperparameter is drawn on its own, and no point of a finite space comes twice; grid: every point of the grid, in order."),
        ])),
        ("Pruner", object("Whether poor trials are stopped early.", vec![must("name", constant("none"), "none: every trial trains to its end.")])),
        ("Retry", object("When a trial is tried again.", vec![
            or("max_failures", json!(0), retries(0), "How many failures of the kinds `io` and `out_of_memory` are tried again; the next one is final."),
            or("max_stalls", json!(3), retries(0), "How many lost leases are tried again; the next one is final."),
            or("backoff_seconds", json!(1), number(0.0, limits::BACKOFF_SECONDS_MAX), "Seconds before the first retry; doubled for each further one."),
        ])),
        ("EarlyStop", object("When the study gives up.", vec![or("max_failures_in_a_row", json!(3), retries(1), "The study fails when this many trials have failed in a row, in the order of their ends. A trial that diverged has trained, so it ends the row; one that ran out of time neither counts nor ends it.")])),
    ]
}

/// The names that can be logged, aliases included.
fn logged() -> Json {
    let training = || std::iter::once("loss").chain(METRICS.iter().map(|(name, _)| *name));
    let names: Vec<String> =
        training().map(str::to_owned).chain(training().map(|name| format!("val_{name}"))).collect();
    json!({"type": "string", "enum": names})
}

#[derive(Clone)]
struct Field {
    name: Cow<'static, str>,
    required: bool,
    schema: Json,
}

/// A field that must be there.
fn must(name: impl Into<Cow<'static, str>>, schema: Json, doc: &str) -> Field {
    Field { name: name.into(), required: true, schema: described(doc, schema) }
}

/// A field that may be left out.
fn may(name: impl Into<Cow<'static, str>>, schema: Json, doc: &str) -> Field {
    Field { required: false, ..must(name, schema, doc) }
}

/// A field with a default.
fn or(name: impl Into<Cow<'static, str>>, default: Json, mut schema: Json, doc: &str) -> Field {
    schema["default"] = default;
    may(name, schema, doc)
}

/// An object with these fields and no others.
fn object(doc: &str, fields: Vec<Field>) -> Json {
    let required: Vec<&str> =
        fields.iter().filter(|field| field.required).map(|field| &*field.name).collect();
    let required = json!(required);
    let properties: Map<String, Json> =
        fields.into_iter().map(|field| (field.name.into_owned(), field.schema)).collect();
    let mut object = json!({"type": "object", "description": doc, "properties": properties, "additionalProperties": false});
    if required != json!([]) {
        object["required"] = required;
    }
    object
}

/// The name of a component, the names that a document uses for it, its description, and its
/// arguments.
type Kind<'a> = (&'static str, Vec<&'static str>, &'a str, Vec<Field>);

/// Something with a name and arguments: a component for each kind, and one called `all` for any of
/// them. Kinds listed in `alone` can be written as a name without an object.
fn named(all: &'static str, doc: &str, alone: &[&str], kinds: Vec<Kind>) -> Vec<(&'static str, Json)> {
    let names = (!alone.is_empty()).then(|| json!({"type": "string", "enum": alone}));
    let either = names.into_iter().chain(kinds.iter().map(|(component, ..)| refer(component))).collect();
    let objects = kinds.into_iter().map(|(component, names, doc, arguments)| {
        let name = must("name", json!({"type": "string", "enum": names}), "Keras's name.");
        (component, object(doc, [vec![name], arguments].concat()))
    });
    std::iter::once((all, described(doc, one_of(either)))).chain(objects).collect()
}

/// The names of a table.
fn all<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

fn map(values: Json) -> Json {
    json!({"type": "object", "additionalProperties": values})
}

/// One of `components`, which are pairs of a value of the field `tag` and a component's name.
fn tagged(tag: &str, doc: &str, components: &[(&str, &str)]) -> Json {
    let location = |component: &str| format!("#/components/schemas/{component}");
    let mapping: Map<String, Json> = components
        .iter()
        .map(|(value, component)| ((*value).to_owned(), json!(location(component))))
        .collect();
    let mut schema =
        described(doc, one_of(components.iter().map(|(_, component)| refer(component)).collect()));
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

/// `schema`, or a hyperparameter in its place.
fn tunable(schema: Json) -> Json {
    one_of(vec![schema, refer("Reference")])
}

/// `schema` or null, or a hyperparameter in its place.
fn optional(schema: Json) -> Json {
    one_of(vec![schema, json!({"type": "null"}), refer("Reference")])
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

fn boolean() -> Json {
    json!({"type": "boolean"})
}

fn scalar() -> Json {
    json!({"type": ["string", "number", "boolean"]})
}

/// A string of at most `max` bytes. JSON Schema counts characters, which are never more than the
/// bytes.
fn text(max: usize) -> Json {
    json!({"type": "string", "minLength": 1, "maxLength": max})
}

fn names(all: &[&str]) -> Json {
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
        /// The same JSON with all numbers as floats, so that `1` equals `1.0`.
        fn plain(json: &Json) -> Json {
            match json {
                Json::Number(number) => json!(number.as_f64()),
                Json::Array(items) => items.iter().map(plain).collect(),
                Json::Object(members) => {
                    Json::Object(members.iter().map(|(name, member)| (name.clone(), plain(member))).collect())
                }
                other => other.clone(),
            }
        }
        for (name, written) in components().into_iter().chain([("Study", study())]) {
            let kept = serde_json::to_value(typed(written.clone())).unwrap();
            assert_eq!(plain(&kept), plain(&written), "{name}");
        }
    }
}
