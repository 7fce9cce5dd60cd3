//! The balancer's own answers.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use crate::body::ResponseBody;

pub(crate) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A small page that says what is wrong. `sentence` is fixed text, never input.
pub(crate) fn problem(status: StatusCode, sentence: &'static str) -> Response<ResponseBody> {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let mut response = with_type(
        status,
        "text/html; charset=utf-8",
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{code} {title}</title>\
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
