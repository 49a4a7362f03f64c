//! Queries. A parameter that cannot be read is refused by its name.

use std::fmt;
use std::future::{Ready, ready};

use crate::limits;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use hpo::trial::{Sort, StudyState, TrialState};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::error::Error;
use crate::model_file::Format;

/// The query of a request.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Query<T>, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Query))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Error> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let (name, what) = (error.path().to_string(), error.inner().to_string());
        // The message about an unknown or repeated parameter has its name already.
        Error::InvalidParameter(if what.contains(&format!("`{name}`")) || name == "." {
            what
        } else {
            format!("{name}: {what}")
        })
    })
}

/// The query of `POST /v1/studies`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRunQuery {
    /// Only check the study: 200 with its pre-flight, and nothing is created.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// The query of `GET /v1/studies`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StudiesQuery {
    /// Where the page starts: `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Studies on the page; 100 by default.
    #[param(inline)]
    pub(crate) limit: Option<Count>,
    /// Only studies in this state.
    pub(crate) state: Option<StudyState>,
    /// Only studies whose name contains this.
    pub(crate) name: Option<String>,
}

/// The query of a list that has only pages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Where the page starts: `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Entries on the page; 100 by default.
    #[param(inline)]
    pub(crate) limit: Option<Count>,
}

/// The query of `GET /v1/studies/{id}/trials`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TrialsQuery {
    /// Where the page starts: `next` of the page before, with the same order.
    pub(crate) cursor: Option<String>,
    /// Trials on the page; 100 by default.
    #[param(inline)]
    pub(crate) limit: Option<Count>,
    /// Only trials in this state.
    pub(crate) state: Option<TrialState>,
    /// `number` (the default), or `value`: completed trials, best first, then the others by number.
    pub(crate) sort: Option<Sort>,
}

/// The query of `GET /v1/studies/{id}/best`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CountQuery {
    /// How many of the best trials; 1 by default.
    #[param(inline)]
    pub(crate) count: Option<Count>,
}

/// The query of a model.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelQuery {
    /// The format; `safetensors` by default.
    pub(crate) format: Option<Format>,
}

/// A number of entries: 1 to [`limits::PAGE_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(usize);

impl From<Count> for usize {
    fn from(count: Count) -> usize {
        count.0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        let text = String::deserialize(deserializer)?;
        let count = text.parse().ok().filter(|count| (1..=limits::PAGE_MAX).contains(count)).map(Count);
        count.ok_or_else(|| {
            D::Error::custom(format!("must be a whole number from 1 to {}, not {text:?}", limits::PAGE_MAX))
        })
    }
}

impl PartialSchema for Count {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(limits::PAGE_MAX))
            .into()
    }
}

impl ToSchema for Count {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused_with_the_name_of_the_parameter() {
        let query: TrialsQuery = parse("limit=1000&state=failed&sort=value&cursor=a%20b").unwrap();
        assert_eq!(
            (query.limit, query.state, query.sort),
            (Some(Count(1_000)), Some(TrialState::Failed), Some(Sort::Value))
        );
        assert_eq!(query.cursor.as_deref(), Some("a b"));
        let refused = |query: &str| parse::<TrialsQuery>(query).unwrap_err().to_string();
        for (query, parts) in [
            ("limit=0", ["limit: must be a whole number from 1 to 1000", "\"0\""]),
            ("limit=1001", ["limit: ", "\"1001\""]),
            ("limit=", ["limit: ", "\"\""]),
            ("limit=-1", ["limit: ", "\"-1\""]),
            ("limit=1&limit=2", ["duplicate field", "`limit`"]),
            ("state=odd", ["state: unknown variant `odd`", "`queued`, `delayed`"]),
            ("sort=Value", ["sort: unknown variant `Value`", "`number` or `value`"]),
            ("colour=red", ["unknown field `colour`", "`cursor`, `limit`, `state`, `sort`"]),
        ] {
            let said = refused(query);
            assert!(parts.iter().all(|part| said.contains(part)), "{query}: {said}");
        }
        let said = parse::<DryRunQuery>("dry_run=yes").map(|query| query.dry_run).unwrap_err().to_string();
        assert!(said.starts_with("dry_run: ") && said.contains("`true` or `false`"), "{said}");
    }
}
