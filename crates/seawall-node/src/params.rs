//! The parameters of a request: those of its query, and those of a form.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

/// The most parameters of one request.
const COUNT_LIMIT: usize = 1_000;

const CUT_OFF: &str = "The form did not arrive in full.";

/// Parameters by name; of several with one name the first counts, as in a servlet.
pub(crate) type Params = BTreeMap<String, String>;

/// Adds what `encoded` holds (`application/x-www-form-urlencoded`, WHATWG URL standard).
pub(crate) fn add(params: &mut Params, encoded: &[u8]) {
    for (name, value) in form_urlencoded::parse(encoded).take(COUNT_LIMIT) {
        params
            .entry(name.into_owned())
            .or_insert_with(|| Cow::into_owned(value));
    }
}

/// Reads a form's body, whose parts may be `patience` apart.
///
/// # Errors
/// The status to answer with, and why.
pub(crate) async fn read_form(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, (StatusCode, &'static str)> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_form = content_type.is_none_or(|value| {
        value
            .trim_start()
            .starts_with("application/x-www-form-urlencoded")
    });
    if !is_form {
        let sentence = "Pages take forms of type application/x-www-form-urlencoded.";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    let mut body = Limited::new(body, limit);
    let mut form = BytesMut::new();
    loop {
        let Ok(frame) = timeout(patience, body.frame()).await else {
            return Err((StatusCode::REQUEST_TIMEOUT, CUT_OFF));
        };
        match frame {
            None => return Ok(form.freeze()),
            Some(Ok(frame)) => {
                if let Ok(part) = frame.into_data() {
                    form.extend_from_slice(&part);
                }
            }
            Some(Err(error)) if error.is::<LengthLimitError>() => {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, "The form is too large."));
            }
            Some(Err(_)) => return Err((StatusCode::BAD_REQUEST, CUT_OFF)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_counts_and_text_is_decoded() {
        let mut params = Params::new();
        add(&mut params, b"a=1&a=2&m=%3Cb%3E+x");
        add(&mut params, b"a=3&c");
        let expected = [("a", "1"), ("c", ""), ("m", "<b> x")];
        assert_eq!(
            params,
            expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into()
        );
    }
}
