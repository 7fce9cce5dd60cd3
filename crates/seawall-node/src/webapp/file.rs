//! Static files.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::PathBuf,
    time::SystemTime,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
};

use crate::{
    body::{Body, FileBody},
    respond,
};

/// Files up to this size are kept in memory.
pub(super) const KEPT_BYTES: u64 = 256 * 1024;

/// A file as it was found.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    content_type: String,
    tag: HeaderValue,
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
        let since = modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let tag = format!("{:x}-{length:x}", since.as_nanos());
        Self::tagged(path, &tag, content)
    }

    /// A file that is part of the program.
    pub(super) fn embedded(name: &str, content: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let tag = format!("{:x}", hasher.finish());
        Self::tagged(name.into(), &tag, Some(content.into()))
    }

    fn tagged(path: PathBuf, tag: &str, content: Option<Bytes>) -> Self {
        let mime = mime_guess::from_path(&path).first_or_octet_stream();
        let text = mime.type_() == "text" || mime.subtype() == "javascript";
        let charset = if text { "; charset=utf-8" } else { "" };
        let tag = format!("\"{tag}\"");
        Self {
            content_type: format!("{mime}{charset}"),
            tag: HeaderValue::try_from(tag).expect("hexadecimal digits"),
            path,
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
            match self.whole().await {
                Ok(response) => response,
                Err(error) => {
                    tracing::warn!(file = %self.path.display(), %error, "file not readable");
                    let sentence = "There is nothing at this address.";
                    return respond::problem(StatusCode::NOT_FOUND, sentence);
                }
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

    /// The whole file. What is not kept in memory is read while it is sent.
    async fn whole(&self) -> io::Result<Response<Body>> {
        let (status, content_type) = (StatusCode::OK, &*self.content_type);
        if let Some(content) = &self.content {
            return Ok(respond::with_type(status, content_type, content.clone()));
        }
        let file = tokio::fs::File::open(&self.path).await?;
        let length = file.metadata().await?.len();
        let body = Body::File(FileBody::new(file, length));
        Ok(respond::with_body(status, content_type, body))
    }
}
