//! From a POSTed document to a study in the queue.

use std::sync::Arc;

use crate::limits;
use data::{Caller, Catalog, Described};
use hpo::dataset::{DatasetSchema, DatasetSpec, Source};
use hpo::preflight::{Preflight, preflight};
use hpo::{Problem, ProblemKind, Study};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use store::{Idempotency, NewStudy, Store, StudyId, StudyRecord};

use crate::app::App;
use crate::error::{Error, study_path};

/// A study that passed every check and is not stored yet.
pub(crate) struct Draft {
    pub(crate) study: Study,
    pub(crate) dataset: DatasetSchema,
    pub(crate) preflight: Preflight,
}

/// Checks the whole `document`; nothing is stored.
pub(crate) async fn draft(app: &App, mut document: Json) -> Result<Draft, Error> {
    if let Some(object) = document.as_object_mut()
        && !object.contains_key("seed")
    {
        object.insert("seed".to_owned(), Json::from(draw_seed()?));
    }
    let catalog = app.catalog.clone();
    // Dropped with this future, for instance when the client leaves: reading its dataset is given up
    // then.
    let client = Arc::new(());
    let waits = Arc::downgrade(&client);
    // Following every branch and hashing files takes a while: not on the async threads.
    let drafted = tokio::task::spawn_blocking(move || {
        let caller =
            Caller { seconds_max: limits::DATASET_POST_SECONDS_MAX, has_left: &|| waits.strong_count() == 0 };
        let study = Study::parse(&document).map_err(|mut problems| {
            problems.extend(
                unknown_builtin(&catalog, &document, caller)
                    .filter(|_| problems.len() < limits::PROBLEMS_MAX),
            );
            Error::InvalidStudy(problems)
        })?;
        let Described { schema: dataset, findings } = described(&catalog, &study.dataset, caller)?;
        let preflight = preflight(&study, &dataset, &findings).map_err(Error::InvalidStudy)?;
        Ok(Draft { study, dataset, preflight })
    })
    .await;
    drop(client);
    drafted.map_err(|error| Error::Internal(error.to_string()))?
}

fn described(catalog: &Catalog, dataset: &DatasetSpec, caller: Caller) -> Result<Described, Error> {
    catalog.described(dataset, caller).map_err(|error| match error {
        data::Error::Busy { .. } => Error::Unavailable(error.to_string()),
        error => Error::InvalidStudy(vec![Problem {
            pointer: format!("/dataset/{}", error.field(dataset)),
            detail: error.to_string(),
            kind: ProblemKind::Invalid,
        }]),
    })
}

/// What is wrong with the name of a built-in dataset in a document with other mistakes: all are
/// reported together.
fn unknown_builtin(catalog: &Catalog, document: &Json, caller: Caller) -> Option<Problem> {
    let name = document.pointer("/dataset/source")?.as_str()?.strip_prefix("builtin:")?;
    let source = Source::Builtin(name.to_owned());
    match described(catalog, &DatasetSpec::new(source), caller).err()? {
        Error::InvalidStudy(mut problems) => problems.pop(),
        _ => None,
    }
}

/// Stores a draft, fills its queue and returns the study. Under a known idempotency key it returns
/// the study of the first request, until that study is deleted.
pub(crate) async fn create(
    store: &Store,
    draft: Draft,
    idempotency: Option<Idempotency>,
) -> Result<StudyRecord, Error> {
    // All tries of this request have one id, so it creates at most one study.
    let id = StudyId::generate();
    let preflight =
        serde_json::to_value(&draft.preflight).map_err(|error| Error::Internal(error.to_string()))?;
    let new = NewStudy { id, study: Arc::new(draft.study), dataset: draft.dataset, preflight };
    let is_repeatable = idempotency.is_some();
    let created = store.create_study(new, idempotency).await.map_err(|error| match error {
        store::Error::Unanswered(cause) if is_repeatable => Error::OutcomeUnknown {
            how: "with the same Idempotency-Key, which creates one study only".to_owned(),
            study: None,
            cause,
        },
        store::Error::Unanswered(cause) => {
            let how = format!(
                "if GET {} finds no study; with an Idempotency-Key it can be sent again at once",
                study_path(id)
            );
            Error::OutcomeUnknown { how, study: Some(id), cause }
        }
        error => error.into(),
    })?;
    Ok(topped_up(store, created.study).await)
}

/// The study after its queue was filled, as far as Redis accepts trials now. A failure does not
/// undo the change before it: the study is marked as wanting trials, and the reaper adds them.
pub(crate) async fn topped_up(store: &Store, study: StudyRecord) -> StudyRecord {
    top_up(store, study.id).await;
    match store.study(study.id).await {
        Ok(Some(now)) => now,
        Ok(None) | Err(_) => study,
    }
}

/// Fills the queue of a study as far as Redis accepts trials now; the reaper adds the rest.
pub(crate) async fn top_up(store: &Store, id: StudyId) {
    if let Err(error) = store.top_up(id).await {
        tracing::warn!(study.id = %id, "Study {id} waits for trials, which the reaper will add: {error}");
    }
}

/// SHA-256 of a request's body, in hexadecimal.
pub(crate) fn hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// 53 random bits, so that every JSON reader keeps them.
fn draw_seed() -> Result<u64, Error> {
    getrandom::u64()
        .map(|bits| bits >> 11)
        .map_err(|error| Error::Internal(format!("no randomness: {error}")))
}
