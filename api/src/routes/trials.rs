//! `/v1/studies/{id}/trials`, and the best of them.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use hpo::Study;
use hpo::trial::TrialState;
use store::{Store, StudyId, TrialPage, TrialRecord};

use super::StudyErrors;
use crate::app::App;
use crate::create;
use crate::error::{Error, study_id};
use crate::wire::{
    BestList, CountQuery, CurveView, Query, TrialList, TrialView, TrialsQuery, page_limit, page_response,
};

/// List the trials of a study
///
/// In pages, by number or best first.
#[utoipa::path(
    tag = "trials",
    params(("id" = String, Path, description = "The study"), TrialsQuery),
    responses((status = 200, description = "A page of trials", body = TrialList), StudyErrors)
)]
#[get("/v1/studies/{id}/trials")]
pub(crate) async fn list_trials(
    app: Data<App>,
    request: HttpRequest,
    id: Path<String>,
    query: Query<TrialsQuery>,
) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    let Query(TrialsQuery { cursor, limit, state, sort }) = query;
    let limit = page_limit(limit);
    let store = app.reads();
    let (records, next) =
        store.trials(id, TrialPage { cursor, limit, state, sort: sort.unwrap_or_default() }).await?;
    let trials = views(&*store.spec(id).await?, id, records)?;
    Ok(page_response(&request, next.as_deref()).json(TrialList { trials, next }))
}

/// Show a trial
///
/// Its hyperparameters, value, metrics, attempts and error.
#[utoipa::path(
    tag = "trials",
    params(("id" = String, Path, description = "The study"), ("number" = u64, Path, description = "The trial")),
    responses((status = 200, description = "The trial", body = TrialView), StudyErrors)
)]
#[get("/v1/studies/{id}/trials/{number}")]
pub(crate) async fn get_trial(app: Data<App>, path: Path<(String, String)>) -> Result<HttpResponse, Error> {
    let (id, number) = trial_path(&path)?;
    let store = app.reads();
    let record = trial(&store, id, number).await?;
    Ok(HttpResponse::Ok().json(view(&*store.spec(id).await?, id, record)?))
}

/// Show the curve of a trial
///
/// The metrics that it logged, one step for each epoch.
#[utoipa::path(
    tag = "trials",
    params(("id" = String, Path, description = "The study"), ("number" = u64, Path, description = "The trial")),
    responses((status = 200, description = "The curve", body = CurveView), StudyErrors)
)]
#[get("/v1/studies/{id}/trials/{number}/curve")]
pub(crate) async fn get_curve(app: Data<App>, path: Path<(String, String)>) -> Result<HttpResponse, Error> {
    let (id, number) = trial_path(&path)?;
    let store = app.reads();
    match store.curve(id, number).await? {
        Some(curve) => Ok(HttpResponse::Ok().json(CurveView::from_curve(curve))),
        None => Err(no_trial(&store, id, number).await),
    }
}

/// Cancel a trial
///
/// A waiting trial is cancelled at once, a running one within a batch of its trainer's next report.
/// A trial that has ended is a conflict, unless it was cancelled. Can be repeated: twice does what
/// once does.
#[utoipa::path(
    tag = "trials",
    params(("id" = String, Path, description = "The study"), ("number" = u64, Path, description = "The trial")),
    responses((status = 200, description = "The trial as it is now", body = TrialView), StudyErrors)
)]
#[post("/v1/studies/{id}/trials/{number}/cancel")]
pub(crate) async fn cancel_trial(
    app: Data<App>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Error> {
    let (id, number) = trial_path(&path)?;
    let store = app.changes()?;
    // Everything is read before the cancel, so that nothing can fail after it.
    let study = store.spec(id).await?;
    let record = store.cancel_trial(id, number).await?;
    if record.state.is_terminal() && record.state != TrialState::Cancelled {
        return Err(Error::Conflict(format!("trial {number} is {} already", record.state)));
    }
    create::top_up(&store, id).await;
    Ok(HttpResponse::Ok().json(view(&study, id, record)?))
}

/// Show the best trials of a study
///
/// Completed ones only, best first.
#[utoipa::path(
    tag = "trials",
    params(("id" = String, Path, description = "The study"), CountQuery),
    responses((status = 200, description = "The best trials", body = BestList), StudyErrors)
)]
#[get("/v1/studies/{id}/best")]
pub(crate) async fn best_trials(
    app: Data<App>,
    id: Path<String>,
    Query(query): Query<CountQuery>,
) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    let store = app.reads();
    let records = store.best(id, query.count.map_or(1, usize::from)).await?;
    Ok(HttpResponse::Ok().json(BestList { trials: views(&*store.spec(id).await?, id, records)? }))
}

/// The study and the number in a path.
pub(super) fn trial_path(path: &(String, String)) -> Result<(StudyId, u64), Error> {
    let (id, number) = path;
    let id = study_id(id)?;
    let no_such =
        || Error::TrialNotFound { study: id.to_string(), number: number.chars().take(30).collect() };
    // A trial has one name: 00 and +0 are none.
    let parsed = number.parse().ok().filter(|parsed: &u64| parsed.to_string() == *number);
    Ok((id, parsed.ok_or_else(no_such)?))
}

/// The error for a trial that was not found: its study may not be there either.
async fn no_trial(store: &Store, id: StudyId, number: u64) -> Error {
    match store.study(id).await {
        Ok(Some(_)) => Error::TrialNotFound { study: id.to_string(), number: number.to_string() },
        Ok(None) => Error::StudyNotFound(id.to_string()),
        Err(error) => error.into(),
    }
}

/// The record of a trial.
pub(super) async fn trial(store: &Store, id: StudyId, number: u64) -> Result<TrialRecord, Error> {
    match store.trial(id, number).await? {
        Some(record) => Ok(record),
        None => Err(no_trial(store, id, number).await),
    }
}

fn view(study: &Study, id: StudyId, record: TrialRecord) -> store::Result<TrialView> {
    TrialView::from_record(id, record, study, &study.logged())
}

fn views(study: &Study, id: StudyId, records: Vec<TrialRecord>) -> store::Result<Vec<TrialView>> {
    records.into_iter().map(|record| view(study, id, record)).collect()
}
