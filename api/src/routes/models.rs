//! The models of trials: `/v1/studies/{id}/trials/{number}/model`, and that of the best.

use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::{self, Bytes, Data, Path};
use actix_web::{HttpResponse, get};
use hpo::trial::TrialState;
use store::artifact::{self, Artifacts};
use store::{StudyId, TrialRecord};

use super::StudyErrors;
use super::trials::{trial, trial_path};
use crate::app::App;
use crate::error::{Error, ProblemDetails, study_id};
use crate::model_file::Format;
use crate::wire::{ModelQuery, Query};

/// Fetch the model of a trial
///
/// The weights of its best step: as safetensors (the default), with the network and the scaling in
/// the metadata; as ONNX (opset 17: input `input`, output `output`, any batch); or as a `.keras`
/// file, which `keras.models.load_model` opens. The latter two hold the network alone: if the study
/// scales its features, they expect scaled ones.
#[utoipa::path(
    tag = "trials",
    params(("id" = String, Path, description = "The study"), ("number" = u64, Path, description = "The trial"), ModelQuery),
    responses(
        (status = 200, description = "The model", content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/zip"))),
        StudyErrors,
        (status = 503, description = "The artifacts cannot be read now, Redis does not answer or is full, or the server is shutting down: `unavailable`, `storage_full`; with Retry-After", body = ProblemDetails, content_type = "application/problem+json")
    )
)]
#[get("/v1/studies/{id}/trials/{number}/model")]
pub(crate) async fn get_model(
    app: Data<App>,
    path: Path<(String, String)>,
    Query(query): Query<ModelQuery>,
) -> Result<HttpResponse, Error> {
    let format = query.format.unwrap_or_default();
    let (id, number) = trial_path(&path)?;
    let record = trial(&app.reads(), id, number).await?;
    model(&app, id, &record, format).await
}

/// Fetch the model of the best trial
///
/// In the same formats as that of any trial.
#[utoipa::path(
    tag = "trials",
    params(("id" = String, Path, description = "The study"), ModelQuery),
    responses(
        (status = 200, description = "The model", content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/zip"))),
        StudyErrors,
        (status = 503, description = "The artifacts cannot be read now, Redis does not answer or is full, or the server is shutting down: `unavailable`, `storage_full`; with Retry-After", body = ProblemDetails, content_type = "application/problem+json")
    )
)]
#[get("/v1/studies/{id}/best/model")]
pub(crate) async fn best_model(
    app: Data<App>,
    id: Path<String>,
    Query(query): Query<ModelQuery>,
) -> Result<HttpResponse, Error> {
    let format = query.format.unwrap_or_default();
    let id = study_id(&id)?;
    match app.reads().best(id, 1).await?.first() {
        Some(record) => model(&app, id, record, format).await,
        None => Err(Error::ModelNotFound("the study has no completed trial yet".to_owned())),
    }
}

/// The model that the accepted attempt of a trial left.
async fn model(app: &App, id: StudyId, record: &TrialRecord, format: Format) -> Result<HttpResponse, Error> {
    let none = |why: &str| {
        Error::ModelNotFound(format!("trial {} of study {id} has no weights: {why}", record.number))
    };
    if record.state != TrialState::Completed {
        return Err(none(&format!("it is {}", record.state)));
    }
    let nonce = record.nonce.ok_or_else(|| none("it was never trained"))?;
    let path = Artifacts::model_path(id, record.number, record.attempt, nonce);
    let weights: Bytes = match app.artifacts.get(&path).await {
        Err(artifact::Error::NotFound(_)) => {
            return Err(none(
                "they are not in the artifact store; do the trainers use the same store as the API?",
            ));
        }
        Err(error) if error.is_of_the_storage() => {
            return Err(Error::Unavailable(format!("the weights cannot be read now: {error}")));
        }
        found => found.map_err(|error| Error::Internal(error.to_string()))?,
    };
    // A large model takes seconds, and other requests of this worker must not wait for it.
    let body = web::block(move || format.convert(weights)).await?.map_err(not_exported)?;
    let name = format!("attachment; filename=\"{id}-{}.{}\"", record.number, format.as_str());
    Ok(HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((CONTENT_DISPOSITION, name))
        .body(body))
}

fn not_exported(error: export::Error) -> Error {
    match error {
        export::Error::TooLarge(_) => {
            Error::InvalidParameter(format!("format: {error}; safetensors has no such limit"))
        }
        export::Error::Unreadable(_) | export::Error::Write(_) => Error::Internal(error.to_string()),
    }
}
