//! `/v1/trainers`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};

use super::AnyErrors;
use crate::app::App;
use crate::error::Error;
use crate::wire::{PageQuery, Query, TrainerList, TrainerView, page_of, page_response};

/// List the connected trainers
///
/// Device, slots and running trials of each, and what keeps it from training. By name, in pages.
#[utoipa::path(tag = "trainers", params(PageQuery), responses((status = 200, description = "A page of trainers", body = TrainerList), AnyErrors))]
#[get("/v1/trainers")]
pub(crate) async fn list_trainers(
    app: Data<App>,
    request: HttpRequest,
    Query(query): Query<PageQuery>,
) -> Result<HttpResponse, Error> {
    let (records, next) = page_of(app.reads().trainers().await?, |record| record.trainer.id.clone(), &query)?;
    let trainers = records.into_iter().map(TrainerView::from_record).collect();
    Ok(page_response(&request, next.as_deref()).json(TrainerList { trainers, next }))
}
