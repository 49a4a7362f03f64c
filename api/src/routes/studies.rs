//! `/v1/studies`.

use crate::limits;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use store::{Idempotency, StudyRecord};

use super::{AnyErrors, BodyErrors, StudyErrors};
use crate::app::App;
use crate::create::{self, Draft};
use crate::error::{Error, ProblemDetails, study_id, study_path};
use crate::wire::{
    DryRun, DryRunQuery, Query, StudiesQuery, StudyPage, StudyPatch, StudySummary, StudyView, page_limit,
    page_response, parse_json, read_body,
};

/// Create a study
///
/// The whole document is checked before anything is queued: every branch of the space is followed
/// through the network. With an `Idempotency-Key` (up to 255 characters, kept for a day) the
/// request can be repeated: the answer is the study that it created first, or `conflict` after that
/// study was deleted. Without the key, the `Location` of an `outcome_unknown` is the study that the
/// request may have created: if GET does not find it, the request can be repeated.
#[utoipa::path(
    tag = "studies",
    params(DryRunQuery, ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Makes the request repeatable")),
    request_body(content = hpo::Study, description = "The study", content_type = "application/json"),
    responses(
        (status = 201, description = "Created; `Location` has its path", body = StudyView, headers(("Location" = String, description = "The path of the study"))),
        (status = 200, description = "With `dry_run=true`: the study is valid", body = DryRun),
        (status = 409, description = "The study that this `Idempotency-Key` created was deleted: `conflict`", body = ProblemDetails, content_type = "application/problem+json"),
        BodyErrors,
        (
            status = 503,
            description = "Redis does not answer or refuses, or the server is shutting down: `unavailable`; the memory or the disk of Redis is full: `storage_full`; nothing was created, and the detail has the reason. `outcome_unknown`: Redis did not answer in time; `Location` has the path of the study that may have been created, unless an `Idempotency-Key` makes the request repeatable. All with Retry-After",
            body = ProblemDetails,
            content_type = "application/problem+json",
            headers(("Location" = String, description = "The path of the study that may have been created, with `outcome_unknown`"))
        ),
    )
)]
#[post("/v1/studies")]
pub(crate) async fn create_study(
    app: Data<App>,
    request: HttpRequest,
    Query(query): Query<DryRunQuery>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    let body = read_body(&request, payload).await?;
    let idempotency = idempotency(&request, &body)?;
    // A repeated request is answered with the study that it made, even if its dataset or the rules of
    // this server have changed since.
    if let Some(idempotency) = idempotency.as_ref().filter(|_| !query.dry_run)
        && let reads = app.reads()
        && let Some(id) = reads.reserved(idempotency).await?
        && let Some(record) = reads.study(id).await?
    {
        return created(&app, record).await;
    }
    let draft = create::draft(&app, parse_json(&body)?).await?;
    if query.dry_run {
        let Draft { study, dataset, preflight } = draft;
        return Ok(HttpResponse::Ok().json(DryRun { preflight, dataset, spec: study.document().clone() }));
    }
    let record = create::create(&app.changes()?, draft, idempotency).await?;
    created(&app, record).await
}

/// List studies
///
/// The newest first, in pages.
#[utoipa::path(tag = "studies", params(StudiesQuery), responses((status = 200, description = "A page of studies", body = StudyPage), AnyErrors))]
#[get("/v1/studies")]
pub(crate) async fn list_studies(
    app: Data<App>,
    request: HttpRequest,
    query: Query<StudiesQuery>,
) -> Result<HttpResponse, Error> {
    let Query(StudiesQuery { cursor, limit, state, name }) = query;
    let limit = page_limit(limit);
    let store = app.reads();
    let (records, next) = store.list_studies(store::StudyPage { cursor, limit, state, name }).await?;
    let trainers = store.trainers().await?;
    let summary = |record: &StudyRecord| {
        StudySummary::from_record(record, &*app.store.spec_of(record)?, record.needs().waiting_for(&trainers))
    };
    let studies = records.iter().map(summary).collect::<store::Result<_>>()?;
    Ok(page_response(&request, next.as_deref()).json(StudyPage { studies, next }))
}

/// Show a study
///
/// With its counts by state, best trial and progress, and what it waits for if it does not go on.
#[utoipa::path(tag = "studies", params(("id" = String, Path, description = "The study")), responses((status = 200, description = "The study", body = StudyView), StudyErrors))]
#[get("/v1/studies/{id}")]
pub(crate) async fn get_study(app: Data<App>, id: Path<String>) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    let store = app.reads();
    let record = store.study(id).await?.ok_or(store::Error::NoSuchStudy(id))?;
    let (study, waiting) = (store.spec_of(&record)?, store.waiting_for(&record).await?);
    Ok(HttpResponse::Ok().json(StudyView::from_record(record, &study, waiting)?))
}

/// Change a study
///
/// Pause and resume it, or change its limits. Can be repeated: twice does what once does.
#[utoipa::path(
    tag = "studies",
    params(("id" = String, Path, description = "The study")),
    request_body(content = StudyPatch, content_type = "application/json"),
    responses((status = 200, description = "The study as it is now", body = StudyView), StudyErrors, BodyErrors)
)]
#[patch("/v1/studies/{id}")]
pub(crate) async fn patch_study(
    app: Data<App>,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    let body = parse_json(&read_body(&request, payload).await?)?;
    let change = StudyPatch::read(body)?;
    let store = app.changes()?;
    let record = store.update_study(id, change).await?;
    Ok(HttpResponse::Ok().json(view(&app, create::topped_up(&store, record).await).await?))
}

/// Cancel a study
///
/// Waiting trials are cancelled at once, running ones within a batch of their trainer's next report.
/// Results are kept. Can be repeated: twice does what once does.
#[utoipa::path(tag = "studies", params(("id" = String, Path, description = "The study")), responses((status = 200, description = "The study as it is now", body = StudyView), StudyErrors))]
#[post("/v1/studies/{id}/cancel")]
pub(crate) async fn cancel_study(app: Data<App>, id: Path<String>) -> Result<HttpResponse, Error> {
    let record = app.changes()?.cancel_study(study_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(view(&app, record).await?))
}

/// Delete a study
///
/// The study disappears at once; its trials, curves and weights are removed in the background. Can
/// be repeated: the answer is then `study_not_found`.
#[utoipa::path(tag = "studies", params(("id" = String, Path, description = "The study")), responses((status = 202, description = "The study is deleted"), StudyErrors))]
#[delete("/v1/studies/{id}")]
pub(crate) async fn delete_study(app: Data<App>, id: Path<String>) -> Result<HttpResponse, Error> {
    app.changes()?.delete_study(study_id(&id)?).await?;
    Ok(HttpResponse::Accepted().finish())
}

async fn created(app: &App, record: StudyRecord) -> Result<HttpResponse, Error> {
    let path = study_path(record.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, path)).json(view(app, record).await?))
}

async fn view(app: &App, record: StudyRecord) -> Result<StudyView, Error> {
    let study = app.store.spec_of(&record)?;
    // The study was changed: the answer says so even if Redis has gone silent since.
    let waiting = app.reads().waiting_for(&record).await.unwrap_or_default();
    Ok(StudyView::from_record(record, &study, waiting)?)
}

fn idempotency(request: &HttpRequest, body: &[u8]) -> Result<Option<Idempotency>, Error> {
    let mut keys = request.headers().get_all("idempotency-key");
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(Error::InvalidParameter("Idempotency-Key must be sent once".to_owned()));
    }
    let key =
        key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= limits::IDEMPOTENCY_KEY_BYTES_MAX);
    let key = key.ok_or_else(|| {
        Error::InvalidParameter(format!(
            "Idempotency-Key must have 1 to {} visible characters",
            limits::IDEMPOTENCY_KEY_BYTES_MAX
        ))
    })?;
    Ok(Some(Idempotency { key: key.to_owned(), request_hash: create::hash(body) }))
}
