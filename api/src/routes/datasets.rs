//! `/v1/datasets`.

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, get};
use data::Listed;

use super::AnyErrors;
use crate::app::App;
use crate::error::Error;
use crate::wire::{DatasetList, PageQuery, Query, page_of, page_response};

/// List the datasets
///
/// The built-in datasets and those in the datasets folder of this API, with their schemas, in pages.
/// Each trainer has its own folder; a trainer whose copy differs does not train on it.
#[utoipa::path(tag = "datasets", params(PageQuery), responses((status = 200, description = "A page of datasets", body = DatasetList), AnyErrors))]
#[get("/v1/datasets")]
pub(crate) async fn list_datasets(
    app: Data<App>,
    request: HttpRequest,
    Query(query): Query<PageQuery>,
) -> Result<HttpResponse, Error> {
    let catalog = app.catalog.clone();
    let (datasets, next) = page_of(web::block(move || catalog.list()).await?, key, &query)?;
    Ok(page_response(&request, next.as_deref()).json(DatasetList { datasets, next }))
}

/// The key of a dataset in the list: first the built-in ones, which never go, then files by path.
fn key(dataset: &Listed) -> String {
    match &dataset.source {
        Some(builtin) if builtin.starts_with("builtin:") => builtin.clone(),
        file => format!("file:{}", file.as_ref().or(dataset.features.as_ref()).map_or("", String::as_str)),
    }
}
