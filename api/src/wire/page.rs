//! Pages of lists.

use crate::limits;
use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::query::{Count, PageQuery};
use crate::error::Error;

/// The number of entries on a page.
pub(crate) fn page_limit(limit: Option<Count>) -> usize {
    limit.map_or(limits::PAGE_DEFAULT, usize::from)
}

/// The page of `all` that `query` asks for, and the cursor of the next page. A cursor is the last
/// key of its page in hexadecimal: the next page goes on behind it, whatever came or went
/// meanwhile. If keys may go, they must rise along the list.
pub(crate) fn page_of<T>(
    all: Vec<T>,
    key: impl Fn(&T) -> String,
    query: &PageQuery,
) -> Result<(Vec<T>, Option<String>), Error> {
    let limit = page_limit(query.limit);
    let from = match &query.cursor {
        None => 0,
        Some(cursor) => {
            let last = key_of(cursor).ok_or(store::Error::BadCursor)?;
            let behind = |at: usize| at + 1;
            let there = all.iter().position(|item| key(item) == last).map(behind);
            there.or_else(|| all.iter().position(|item| key(item) > last)).unwrap_or(all.len())
        }
    };
    let more = all.len() > from + limit;
    let page: Vec<T> = all.into_iter().skip(from).take(limit).collect();
    let next = page.last().filter(|_| more).map(|last| hex::encode(key(last)));
    Ok((page, next))
}

fn key_of(cursor: &str) -> Option<String> {
    let bytes = hex::decode(cursor).ok()?;
    String::from_utf8(bytes).ok().filter(|key| !key.is_empty())
}

/// The answer 200 of a list, with a `Link` to the `next` page if there is one.
pub(crate) fn page_response(request: &HttpRequest, next: Option<&str>) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    if let Some(next) = next {
        response.insert_header((LINK, next_link(request, next)));
    }
    response
}

/// The value of the `Link` header that leads to the next page of this request.
fn next_link(request: &HttpRequest, cursor: &str) -> String {
    let others =
        request.query_string().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<&str> = others.collect();
    let cursor = format!("cursor={cursor}");
    let query = query.into_iter().chain([cursor.as_str()]).collect::<Vec<_>>().join("&");
    format!("<{}?{query}>; rel=\"next\"", request.path())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(
        all: &[&str],
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), Error> {
        let query: PageQuery =
            serde_json::from_value(json!({"cursor": cursor, "limit": limit.to_string()})).unwrap();
        page_of(all.iter().map(|item| (*item).to_owned()).collect(), String::clone, &query)
    }

    #[test]
    fn pages_follow_each_other_and_go_on_behind_what_is_gone() {
        let (first, next) = page(&["a", "é", "ü"], None, 2).unwrap();
        assert_eq!((first, next.as_deref()), (vec!["a".to_owned(), "é".to_owned()], Some("c3a9")));
        assert_eq!(page(&["a", "é", "ü"], next.as_deref(), 2).unwrap(), (vec!["ü".to_owned()], None));
        assert_eq!(page(&["a", "b", "ü"], next.as_deref(), 2).unwrap(), (vec!["ü".to_owned()], None));
        assert_eq!(page(&["a"], next.as_deref(), 2).unwrap(), (vec![], None));
        assert_eq!(page(&["a", "b"], None, 2).unwrap().1, None);
    }

    #[test]
    fn what_is_no_cursor_is_an_invalid_parameter() {
        for cursor in ["", "x", "6", "616", "zz", "ff", "+1"] {
            assert!(matches!(page(&["a"], Some(cursor), 2), Err(Error::InvalidParameter(_))), "{cursor}");
        }
    }
}
