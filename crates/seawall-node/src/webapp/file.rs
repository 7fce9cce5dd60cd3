//! Static files.

use std::{path::PathBuf, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
};

use crate::respond::{self, Body};

/// Files up to this size are kept in memory.
pub(super) const KEPT_BYTES: u64 = 256 * 1024;

/// Larger files are not served: a response is held in memory as a whole.
const SERVED_BYTES: u64 = 64 * 1024 * 1024;

/// A file as it was found.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    content_type: String,
    tag: HeaderValue,
    length: u64,
    /// The content, unless the file is large.
    content: Option<Bytes>,
}

impl File {
    pub(super) fn new(
        path: PathBuf,
        length: u64,
        modified: SystemTime,
        content: Option<Bytes>,
    ) -> Self {
        let mime = mime_guess::from_path(&path).first_or_octet_stream();
        let text = mime.type_() == "text" || mime.subtype() == "javascript";
        let charset = if text { "; charset=utf-8" } else { "" };
        let since = modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let tag = format!("\"{:x}-{length:x}\"", since.as_nanos());
        Self {
            content_type: format!("{mime}{charset}"),
            tag: HeaderValue::try_from(tag).expect("hexadecimal digits"),
            path,
            length,
            content,
        }
    }

    pub(crate) async fn respond(&self, request: &HeaderMap) -> Response<Body> {
        let unchanged = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .any(|tag| *tag == self.tag);
        let mut response = if unchanged {
            respond::with_type(StatusCode::NOT_MODIFIED, &self.content_type, Bytes::new())
        } else {
            match self.read().await {
                Ok(content) => respond::with_type(StatusCode::OK, &self.content_type, content),
                Err(response) => return response,
            }
        };
        let fixed = |value| HeaderValue::from_static(value);
        let headers: [(HeaderName, HeaderValue); 3] = [
            (ETAG, self.tag.clone()),
            (CACHE_CONTROL, fixed("no-cache")),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        ];
        response.headers_mut().extend(headers);
        response
    }

    async fn read(&self) -> Result<Bytes, Response<Body>> {
        if let Some(content) = &self.content {
            return Ok(content.clone());
        }
        if self.length > SERVED_BYTES {
            let sentence = "Files over 64 MiB are not served.";
            return Err(respond::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                sentence,
            ));
        }
        tokio::fs::read(&self.path)
            .await
            .map(Bytes::from)
            .map_err(|error| {
                tracing::warn!(file = %self.path.display(), %error, "file not readable");
                respond::problem(StatusCode::NOT_FOUND, "There is nothing at this address.")
            })
    }
}
