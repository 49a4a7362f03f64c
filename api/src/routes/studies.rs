//! `/v1/studies`.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use hpo::limits;
use store::{Idempotency, StudyId};

use super::{AnyErrors, BodyErrors, StudyErrors};
use crate::app::App;
use crate::create::{self, Draft};
use crate::error::{Error, ProblemDetails, study_id};
use crate::wire::{
    DryRun, DryRunQuery, Query, StudiesQuery, StudyPage, StudyPatch, StudySummary, StudyView, page_response, parse_json, read_body,
};

/// Create a study
///
/// The whole document is checked before anything is queued: every branch of the space is followed through the network. With an
/// `Idempotency-Key` (up to 255 characters, kept for a day) the request may be repeated: the answer is the study that it created first,
/// or `conflict` once that was deleted.
#[utoipa::path(
    tag = "studies",
    params(DryRunQuery, ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Makes the request repeatable")),
    request_body(content = hpo::Study, description = "The study", content_type = "application/json"),
    responses(
        (status = 201, description = "Created; `Location` has its path", body = StudyView, headers(("Location" = String, description = "The path of the study"))),
        (status = 200, description = "With `dry_run=true`: it would be created", body = DryRun),
        (status = 409, description = "The study that this `Idempotency-Key` created was deleted: `conflict`", body = ProblemDetails, content_type = "application/problem+json"),
        BodyErrors,
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
    // A repeated request is answered by what it did, also where its dataset or this server's rules have changed since.
    if let Some(idempotency) = idempotency.as_ref().filter(|_| !query.dry_run)
        && let Some(id) = app.store.reserved(idempotency).await?
        && let Some(view) = found_view(&app, id).await?
    {
        return Ok(created(id, view));
    }
    let draft = create::draft(&app, parse_json(&body)?).await?;
    if query.dry_run {
        let Draft { study, dataset, preflight } = draft;
        return Ok(HttpResponse::Ok().json(DryRun { preflight, dataset, spec: study.document().clone() }));
    }
    app.accepts_changes()?;
    let id = create::create(&app.store, draft, idempotency).await?;
    Ok(created(id, view(&app, id).await?))
}

/// List studies
///
/// The newest first, in pages.
#[utoipa::path(tag = "studies", params(StudiesQuery), responses((status = 200, description = "A page of studies", body = StudyPage), AnyErrors))]
#[get("/v1/studies")]
pub(crate) async fn list_studies(app: Data<App>, request: HttpRequest, query: Query<StudiesQuery>) -> Result<HttpResponse, Error> {
    let Query(StudiesQuery { cursor, limit, state, name }) = query;
    let limit = limit.map_or(limits::PAGE_DEFAULT, usize::from);
    let (records, next) = app.store.list_studies(store::StudyPage { cursor, limit, state, name }).await?;
    let trainers = app.store.trainers().await?;
    let mut studies = Vec::with_capacity(records.len());
    for record in records {
        // One deleted since the page was read is not there any more.
        if let Some(study) = gone_is_none(app.store.spec(record.id).await)? {
            studies.push(StudySummary::from_record(&record, &study, record.needs().waiting_for(&trainers)));
        }
    }
    Ok(page_response(&request, next.as_deref()).json(StudyPage { studies, next }))
}

/// Show a study
///
/// With its counts by state, its best trial and its progress, and what it waits for where nobody trains it.
#[utoipa::path(tag = "studies", params(("id" = String, Path, description = "The study")), responses((status = 200, description = "The study", body = StudyView), StudyErrors))]
#[get("/v1/studies/{id}")]
pub(crate) async fn get_study(app: Data<App>, id: Path<String>) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    let record = app.store.study(id).await?.ok_or(store::Error::NoSuchStudy(id))?;
    let (study, waiting) = (app.store.spec(id).await?, app.store.waiting_for(&record).await?);
    Ok(HttpResponse::Ok().json(StudyView::from_record(record, &study, waiting)))
}

/// Change a study
///
/// Pause and resume it, or change its limits.
#[utoipa::path(
    tag = "studies",
    params(("id" = String, Path, description = "The study")),
    request_body(content = StudyPatch, content_type = "application/json"),
    responses((status = 200, description = "The study as it is now", body = StudyView), StudyErrors, BodyErrors)
)]
#[patch("/v1/studies/{id}")]
pub(crate) async fn patch_study(app: Data<App>, request: HttpRequest, id: Path<String>, payload: Payload) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    let body = parse_json(&read_body(&request, payload).await?)?;
    let change = StudyPatch::read(body)?.into();
    app.accepts_changes()?;
    app.store.update_study(id, change).await?;
    app.store.top_up(id).await?;
    Ok(HttpResponse::Ok().json(view(&app, id).await?))
}

/// Cancel a study
///
/// Nothing more is trained: waiting trials are cancelled at once, running ones within a batch of their trainer's next report. Results
/// are kept.
#[utoipa::path(tag = "studies", params(("id" = String, Path, description = "The study")), responses((status = 200, description = "The study as it is now", body = StudyView), StudyErrors))]
#[post("/v1/studies/{id}/cancel")]
pub(crate) async fn cancel_study(app: Data<App>, id: Path<String>) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    app.accepts_changes()?;
    app.store.cancel_study(id).await?;
    Ok(HttpResponse::Ok().json(view(&app, id).await?))
}

/// Delete a study
///
/// It is gone from view at once; its trials, curves and weights are removed in the background.
#[utoipa::path(tag = "studies", params(("id" = String, Path, description = "The study")), responses((status = 202, description = "It is gone from view"), StudyErrors))]
#[delete("/v1/studies/{id}")]
pub(crate) async fn delete_study(app: Data<App>, id: Path<String>) -> Result<HttpResponse, Error> {
    let id = study_id(&id)?;
    app.accepts_changes()?;
    app.store.delete_study(id).await?;
    Ok(HttpResponse::Accepted().finish())
}

fn created(id: StudyId, view: StudyView) -> HttpResponse {
    HttpResponse::Created().insert_header((LOCATION, format!("/v1/studies/{id}"))).json(view)
}

async fn view(app: &App, id: StudyId) -> Result<StudyView, Error> {
    found_view(app, id).await?.ok_or(Error::StudyNotFound(id.to_string()))
}

async fn found_view(app: &App, id: StudyId) -> Result<Option<StudyView>, Error> {
    let Some(record) = app.store.study(id).await? else { return Ok(None) };
    let Some(study) = gone_is_none(app.store.spec(id).await)? else { return Ok(None) };
    // The caller has changed the study: that is told even where Redis has gone silent since.
    let waiting = app.store.waiting_for(&record).await.unwrap_or_default();
    Ok(Some(StudyView::from_record(record, &study, waiting)))
}

fn gone_is_none<T>(found: store::Result<T>) -> store::Result<Option<T>> {
    match found {
        Err(store::Error::NoSuchStudy(_)) => Ok(None),
        found => found.map(Some),
    }
}

fn idempotency(request: &HttpRequest, body: &[u8]) -> Result<Option<Idempotency>, Error> {
    let mut keys = request.headers().get_all("idempotency-key");
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(Error::InvalidParameter("Idempotency-Key must be sent once".to_owned()));
    }
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= limits::IDEMPOTENCY_KEY_BYTES_MAX);
    let key = key.ok_or_else(|| {
        Error::InvalidParameter(format!("Idempotency-Key must have 1 to {} visible characters", limits::IDEMPOTENCY_KEY_BYTES_MAX))
    })?;
    Ok(Some(Idempotency { key: key.to_owned(), request_hash: create::hash(body) }))
}
