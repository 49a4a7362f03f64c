//! `/v1/datasets`.

use actix_web::web::{self, Data};
use actix_web::{HttpResponse, get};

use super::AnyErrors;
use crate::app::App;
use crate::error::Error;
use crate::wire::DatasetList;

/// List the datasets
///
/// Those inside the binary and those in the datasets folder of this API, with their schemas. Trainers have folders of their own: a
/// trainer whose copy differs runs no trial on it.
#[utoipa::path(tag = "datasets", responses((status = 200, description = "The datasets", body = DatasetList), AnyErrors))]
#[get("/v1/datasets")]
pub(crate) async fn list_datasets(app: Data<App>) -> Result<HttpResponse, Error> {
    let catalog = app.catalog.clone();
    let datasets = web::block(move || catalog.list()).await?;
    Ok(HttpResponse::Ok().json(DatasetList { datasets, next: None }))
}
