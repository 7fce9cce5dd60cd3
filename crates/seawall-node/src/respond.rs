//! Responses.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use http_body_util::Full;

pub(crate) use crate::body::Body;

const HTML: &str = "text/html; charset=utf-8";

pub(crate) fn with_type(
    status: StatusCode,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    with_body(status, content_type, Body::Whole(Full::new(body.into())))
}

pub(crate) fn with_body(status: StatusCode, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

pub(crate) fn uncached(
    status: StatusCode,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = with_type(status, content_type, body);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn page(status: StatusCode, html: impl Into<Bytes>) -> Response<Body> {
    uncached(status, HTML, html)
}

pub(crate) fn redirect(location: &str) -> Response<Body> {
    let mut response = page(StatusCode::PERMANENT_REDIRECT, Bytes::new());
    match HeaderValue::from_str(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => problem(StatusCode::BAD_REQUEST, "The address cannot be redirected."),
    }
}

/// A small page that says what is wrong. `sentence` is fixed text, never input.
pub(crate) fn problem(status: StatusCode, sentence: &'static str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let mut response = page(
        status,
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{code} {title}</title>\
             <body style=\"font: 1rem/1.5 system-ui; max-width: 36rem; margin: 4rem auto; \
             padding: 0 1rem\"><h1>{title}</h1><p>{sentence}</p></body></html>\n"
        ),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
