//! `/v1/trainers`.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};

use super::AnyErrors;
use crate::app::App;
use crate::error::Error;
use crate::wire::{TrainerList, TrainerView};

/// List the connected trainers
///
/// Their device and slots, and what they train.
#[utoipa::path(tag = "trainers", responses((status = 200, description = "The trainers", body = TrainerList), AnyErrors))]
#[get("/v1/trainers")]
pub(crate) async fn list_trainers(app: Data<App>) -> Result<HttpResponse, Error> {
    let trainers = app.store.trainers().await?.into_iter().map(TrainerView::from_record).collect();
    Ok(HttpResponse::Ok().json(TrainerList { trainers, next: None }))
}
