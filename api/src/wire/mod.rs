//! What goes over the wire: views made from the store's records, and bodies read strictly.

mod json;
mod page;
mod patch;
mod query;
mod study;
mod trainer;
mod trial;

use jiff::Timestamp;

pub(crate) use json::{parse_json, read_body};
pub(crate) use page::{page_limit, page_of, page_response};
pub(crate) use patch::StudyPatch;
pub(crate) use query::{CountQuery, DryRunQuery, ModelQuery, PageQuery, Query, StudiesQuery, TrialsQuery};
pub(crate) use study::{BestTrial, DryRun, StudyPage, StudySummary, StudyView, expected, has_ended};
pub(crate) use trainer::{DatasetList, TrainerList, TrainerView};
pub(crate) use trial::{BestList, CurveView, TrialList, TrialView};

/// RFC 3339 in UTC, from milliseconds.
pub(crate) fn timestamp(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(String::new, |time| time.to_string())
}

/// `x` in as few digits as it needs: a number that is exactly a 32-bit float has the digits of one.
pub(crate) fn shortest(x: f64) -> f64 {
    let narrow = x as f32;
    if f64::from(narrow) == x { narrow.to_string().parse().unwrap_or(x) } else { x }
}
