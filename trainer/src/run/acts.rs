//! An argument acts, or is refused: each field of the contract, changed in a study, changes what
//! comes of it, or is held to one value.

use std::collections::BTreeMap;
use std::path::Path;

use data::Caller;
use hpo::Point;
use hpo::preflight::preflight;
use hpo::sampler::Sampler;
use serde_json::{Map, Value as Json, json};
use store::StudyId;
use store::artifact::Artifacts;

use super::*;

mod bases;

use bases::{Base, bases, change};

/// Fields that say which kind of thing an object is, or what it is called: what each kind does is
/// held to Keras's numbers elsewhere.
const KINDS: [&str; 3] = ["layer", "type", "name"];

/// Fields that act outside of a trial, or on files that are not written here, and the test that
/// shows each; `*` stands for all that a component has.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("Study", "max_trials", "more_trials_reopen_a_completed_study_and_fewer_cancel_waiting_ones"),
    ("Study", "max_parallel", "max_parallel_bounds_what_runs"),
    ("Study", "max_trial_seconds", "a_trial_out_of_time_completes_with_what_it_has"),
    ("Study", "device", "a_trainer_gets_only_what_its_device_its_memory_and_its_datasets_allow"),
    ("Study", "weight", "two_backlogged_studies_share_time_by_weight"),
    ("Study", "tags", "a_study_is_created_listed_paused_cancelled_and_deleted"),
    ("Retry", "max_failures", "io_failures_are_retried_after_a_growing_wait_and_then_final"),
    ("Retry", "backoff_seconds", "io_failures_are_retried_after_a_growing_wait_and_then_final"),
    ("Retry", "max_stalls", "stalls_are_used_up"),
    ("EarlyStop", "max_failures_in_a_row", "three_failures_in_a_row_fail_the_study"),
    ("ParquetDataset", "*", "the_columns_of_a_parquet_file_are_those_of_a_table"),
    ("ArraysDataset", "*", "keras_mnist_is_read_from_its_npz"),
    ("DatasetArrays", "*", "keras_mnist_is_read_from_its_npz"),
    ("ImagesDataset", "*", "folders_of_images_are_classes_in_the_order_of_their_names"),
    ("IdxDataset", "*", "every_example_is_a_study_that_runs"),
    ("DatasetFiles", "*", "every_example_is_a_study_that_runs"),
];

#[test]
fn every_field_of_the_contract_acts_or_is_held_to_one_value() {
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path());
    let catalog = data::Catalog::new(folder.path());
    let (sources, mut wrong) = (sources(), Vec::new());
    let bases: Vec<(Base, _)> = bases()
        .into_iter()
        .map(|base| (outcome(&catalog, &base.study), base))
        .map(|(as_it_is, base)| (base, as_it_is))
        .collect();
    for (component, fields) in contract() {
        let bases: Vec<_> = bases.iter().filter(|(base, _)| base.component == component).collect();
        for (field, schema) in fields.iter().filter(|(field, _)| !KINDS.contains(&field.as_str())) {
            if let Some((.., test)) =
                ELSEWHERE.iter().find(|(of, name, _)| *of == component && [field, "*"].contains(name))
            {
                wrong.extend(
                    (!sources.contains(&format!("fn {test}(")))
                        .then(|| format!("{component}.{field}: there is no test {test}")),
                );
                continue;
            }
            // What each layer has, a layer is asked for here.
            if field == "when"
                && !["DenseLayer", "Repeat"].contains(&component.as_str())
                && component.ends_with("Layer")
            {
                continue;
            }
            let held = only(schema);
            let acts = bases.iter().any(|(base, as_it_is)| {
                let value = held.as_ref().map_or_else(|| change(base, field), |only| Some(another(only)));
                let Some(value) = value else { return false };
                let mut changed = base.study.clone();
                changed
                    .pointer_mut(base.pointer)
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .insert(field.clone(), value);
                match (held.is_some(), outcome(&catalog, &changed)) {
                    (true, outcome) => {
                        outcome.is_err_and(|pointers| pointers.contains(&format!("{}/{field}", base.pointer)))
                    }
                    (false, changed) => changed != *as_it_is,
                }
            });
            wrong.extend((!acts).then(|| format!("{component}.{field} ({} studies)", bases.len())));
        }
    }
    assert!(wrong.is_empty(), "{} fields change nothing:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a user can see of a study: the first points of its sampler, the curve of its first trial,
/// the best value and the best weights; or the pointers of what is refused.
fn outcome(catalog: &data::Catalog, document: &Json) -> Result<String, Vec<String>> {
    let pointers =
        |problems: Vec<hpo::Problem>| problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>();
    let study = Study::parse(document).map_err(pointers)?;
    let described = catalog
        .described(&study.dataset, Caller::patient(60))
        .map_err(|error| vec![format!("/dataset/{}", error.field(&study.dataset))])?;
    preflight(&study, &described.schema, &described.findings).map_err(pointers)?;
    let mut sampler = Sampler::new(study.sampler, &study.space, study.seed);
    let points: Vec<Point> = (0..6).map_while(|number| sampler.suggest(number)).collect();
    let mut seen: Vec<String> =
        points.iter().map(|point| format!("{:?}", study.space.to_json(point))).collect();
    for (number, point) in points.iter().enumerate().take(2) {
        seen.push(trained(catalog, &study, number as u64, point));
    }
    Ok(seen.join("\n"))
}

/// Curve, best value and best weights of a trial.
fn trained(catalog: &data::Catalog, study: &Study, number: u64, point: &Point) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, plan) =
        (catalog.load(&study.dataset, Caller::patient(60)).unwrap(), study.plan(point).unwrap());
    let splits = data::splits(&dataset, &study.dataset, study.seed).unwrap().into_iter();
    let folds: Vec<Fold> = splits
        .map(|split| Fold { data: Scaled::new(dataset.clone(), &split.train, plan.scale).unwrap(), split })
        .collect();
    let key = CheckpointKey {
        study: "01JD".into(),
        number,
        numerics: "cpu-1".into(),
        dataset: String::new(),
        runs: study.runs() as usize,
    };
    let artifacts = Artifacts::open(folder.path().to_str().unwrap()).unwrap();
    let (spool, stop, device) =
        (|| artifacts.spool(StudyId::generate(), number), Stop::default(), Device::Cpu);
    let job = Job {
        study,
        number,
        plan: &plan,
        folds: &folds,
        device: &device,
        key: &key,
        spool: &spool,
        checkpoint_seconds: 1_000,
        stop: &stop,
    };
    let mut curve = Vec::new();
    let ended = train(&job, std::iter::empty(), |event| {
        if let Event::Epoch { values, .. } = event {
            curve.push(values.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        }
    });
    match ended {
        Ok(Best { value, epoch, weights }) => {
            let named = weights.named().map(|(name, tensor)| {
                let numbers: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                format!(
                    "{name} {:?} {:?}",
                    tensor.dims(),
                    numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>()
                )
            });
            format!("{curve:?} {value} {epoch} {}", named.collect::<Vec<_>>().join(" "))
        }
        Err(unfinished) => format!("{curve:?} {unfinished:?}"),
    }
}

/// The components of the contract that a study may hold, with the fields of each.
fn contract() -> BTreeMap<String, Map<String, Json>> {
    let contract: Json = serde_json::from_str(include_str!("../../../openapi/openapi.json")).unwrap();
    let schemas = &contract["components"]["schemas"];
    let (mut seen, mut open) = (BTreeMap::new(), vec!["Study".to_owned()]);
    while let Some(name) = open.pop() {
        if !seen.contains_key(&name) {
            open.extend(references(&schemas[&name]));
            seen.insert(name.clone(), schemas[&name]["properties"].as_object().cloned().unwrap_or_default());
        }
    }
    seen
}

/// The names of all components that a schema refers to.
fn references(schema: &Json) -> Vec<String> {
    match schema {
        Json::Object(members) => {
            let here = members
                .get("$ref")
                .and_then(Json::as_str)
                .and_then(|path| path.rsplit('/').next())
                .map(str::to_owned);
            here.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Json::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The one value that a field may have, if the contract says so.
fn only(schema: &Json) -> Option<Json> {
    schema["enum"].as_array().filter(|values| values.len() == 1).map(|values| values[0].clone())
}

fn another(value: &Json) -> Json {
    match value {
        Json::Bool(flag) => json!(!flag),
        Json::Number(number) => json!(number.as_f64().unwrap() + 1.0),
        _ => json!("another"),
    }
}

/// All sources in which tests stand.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut open: Vec<_> = ["hpo/src", "data/src", "store/src", "trainer/src", "tests/suite"]
        .iter()
        .map(|folder| root.join(folder))
        .collect();
    let mut text = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    text
}

/// Two tables with the columns a, b, c (texts), w (weights), y (classes) and z (classes).
fn write_tables(folder: &Path) {
    for (name, factor) in [("one.csv", 7), ("two.csv", 11)] {
        let rows = (0..60).map(|row| {
            let x = row * factor % 17;
            format!(
                "{x},{},{},{},{},{}\n",
                row % 5,
                ["red", "green", "blue"][row % 3],
                1 + row % 2,
                usize::from(x > 8),
                row % 2
            )
        });
        std::fs::write(folder.join(name), format!("a,b,c,w,y,z\n{}", rows.collect::<String>())).unwrap();
    }
}
