//! The OpenAPI schema of the study document.

use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use crate::study::Study;

impl utoipa::PartialSchema for Study {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().into()
    }
}

impl utoipa::ToSchema for Study {}
