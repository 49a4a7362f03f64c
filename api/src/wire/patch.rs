//! Changes of a study on the wire.

use hpo::{Problem, ProblemKind};
use serde_json::{Map, Value as Json, json};
use store::Change;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::Error;
use crate::limits;

/// The body of `PATCH /v1/studies/{id}`. Its reader and its schema are made from [`FIELDS`].
pub(crate) struct StudyPatch;

/// A field that can be changed.
struct Field {
    name: &'static str,
    schema: fn() -> Json,
    /// Puts the value into the change, or says what it must be.
    read: fn(&Json, &mut Change) -> Result<(), String>,
}

const FIELDS: [Field; 3] = [
    Field {
        name: "state",
        schema: || {
            json!({
                "type": "string", "enum": ["running", "paused"],
                "description": "`paused`: no new trial starts, running ones finish. `running`: the study goes on.",
            })
        },
        read: |value, change| read_paused(value).map(|paused| change.paused = Some(paused)),
    },
    Field {
        name: "max_trials",
        schema: || {
            json!({
                "type": "integer", "minimum": 1, "maximum": limits::TRIALS_MAX,
                "description": "The largest number of trials. Raising it reopens a study that had completed. Lowering it takes back the last trials that \
                    never started: they come again, the same ones, when it is raised. Other waiting trials beyond it are cancelled.",
            })
        },
        read: |value, change| {
            read_limit(value, limits::TRIALS_MAX).map(|limit| change.max_trials = Some(Some(limit)))
        },
    },
    Field {
        name: "max_parallel",
        schema: || {
            json!({
                "type": ["integer", "null"], "minimum": 1, "maximum": limits::PARALLEL_MAX,
                "description": "The largest number of trials at once; null: as many as there are slots.",
            })
        },
        read: |value, change| {
            let limit = if value.is_null() { None } else { Some(read_limit(value, limits::PARALLEL_MAX)?) };
            change.max_parallel = Some(limit);
            Ok(())
        },
    },
];

/// Fields of a study that a later version will change.
const LATER: [&str; 2] = ["priority", "weight"];

impl StudyPatch {
    /// The change that `body` asks for; fields that are left out stay as they are. All mistakes are
    /// reported together. Errors: [`Error::InvalidRequest`], [`Error::InvalidStudy`].
    pub(crate) fn read(body: Json) -> Result<Change, Error> {
        let Json::Object(members) = body else {
            return Err(Error::InvalidRequest(
                "the body must be an object, such as {\"state\": \"paused\"}".to_owned(),
            ));
        };
        let (mut change, mut problems) = (Change::default(), Vec::new());
        for (name, value) in members {
            let mut problem = |kind, what: String| {
                let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                problems.push(Problem { pointer, detail: format!("{name} {what}"), kind });
            };
            match FIELDS.iter().find(|field| field.name == name) {
                Some(field) => {
                    if let Err(what) = (field.read)(&value, &mut change) {
                        problem(ProblemKind::Invalid, what);
                    }
                }
                None if LATER.contains(&name.as_str()) => {
                    problem(ProblemKind::NotSupported, "cannot be changed yet".to_owned());
                }
                None => problem(ProblemKind::Invalid, format!("cannot be changed; {} can", names())),
            }
        }
        if problems.is_empty() { Ok(change) } else { Err(Error::InvalidStudy(problems)) }
    }
}

impl ToSchema for StudyPatch {}

impl PartialSchema for StudyPatch {
    fn schema() -> RefOr<Schema> {
        let properties: Map<String, Json> =
            FIELDS.iter().map(|field| (field.name.to_owned(), (field.schema)())).collect();
        let schema = json!({
            "type": "object",
            "description": "The body of `PATCH /v1/studies/{id}`; fields that are left out stay as they are.",
            "properties": properties,
            "additionalProperties": false,
        });
        serde_json::from_value(schema).expect("the fields have schemas")
    }
}

fn names() -> String {
    FIELDS.map(|field| field.name).join(", ")
}

fn read_paused(value: &Json) -> Result<bool, String> {
    match value.as_str() {
        Some("paused") => Ok(true),
        Some("running") => Ok(false),
        _ => Err("can be set to \"paused\" or \"running\"; a study is cancelled by POST …/cancel".to_owned()),
    }
}

fn read_limit(value: &Json, max: u64) -> Result<u64, String> {
    // 2.0 is as good as 2, as in a study.
    let whole = || {
        value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && (1.0..=max as f64).contains(number))
            .map(|number| number as u64)
    };
    let limit = value.as_u64().or_else(whole).filter(|limit| (1..=max).contains(limit));
    limit.ok_or_else(|| format!("must be an integer between 1 and {max}, not {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_read_within_the_bounds_that_the_contract_shows() {
        let schema = serde_json::to_value(StudyPatch::schema()).unwrap();
        for (name, max) in [("max_trials", limits::TRIALS_MAX), ("max_parallel", limits::PARALLEL_MAX)] {
            let property = &schema["properties"][name];
            assert_eq!(
                (&property["minimum"], &property["maximum"]),
                (&json!(1), &json!(max)),
                "{name}: {property}"
            );
            for (number, is_read) in [(0, false), (1, true), (max, true), (max + 1, false)] {
                assert_eq!(StudyPatch::read(json!({name: number})).is_ok(), is_read, "{name}: {number}");
            }
        }
        let change = StudyPatch::read(json!({"state": "paused", "max_parallel": null})).unwrap();
        assert_eq!(change, Change { paused: Some(true), max_trials: None, max_parallel: Some(None) });
        assert_eq!(StudyPatch::read(json!({"max_trials": 2.0})).unwrap().max_trials, Some(Some(2)));
        for wrong in [json!(null), json!(2.5), json!(-1), json!(1e300), json!("2"), json!(true)] {
            assert!(StudyPatch::read(json!({"max_trials": wrong})).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_mistake_in_a_patch_is_reported_at_its_place() {
        let body = json!({"state": "cancelled", "weight": 2, "a/b": 1, "max_trials": 3});
        let Err(Error::InvalidStudy(problems)) = StudyPatch::read(body) else { panic!("it was read") };
        let found: Vec<(&str, &str)> =
            problems.iter().map(|problem| (problem.pointer.as_str(), problem.detail.as_str())).collect();
        assert_eq!(
            found,
            [
                (
                    "/state",
                    "state can be set to \"paused\" or \"running\"; a study is cancelled by POST …/cancel"
                ),
                ("/weight", "weight cannot be changed yet"),
                ("/a~1b", "a/b cannot be changed; state, max_trials, max_parallel can"),
            ]
        );
    }
}
