//! Static files.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
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

/// Files up to this size are kept in memory, while there is room for them.
const KEPT_BYTES: u64 = 256 * 1024;

/// The most bytes of files that a node keeps in memory, of all applications together. While they are
/// deployed again there are twice as many.
const ALL_KEPT_BYTES: u64 = 64 << 20;

/// The room in memory for the files of one catalog.
#[derive(Debug)]
pub(super) struct Kept {
    left: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            left: ALL_KEPT_BYTES,
        }
    }
}

impl Kept {
    /// The content of a file that is to be kept; `None` for one that is read for each request.
    pub(super) fn read(&mut self, path: &Path, length: u64) -> Option<Bytes> {
        let limit = self.left.min(KEPT_BYTES);
        if length > limit {
            return None;
        }
        let mut content = Vec::new();
        // It may have grown since it was listed.
        let file = fs::File::open(path).ok()?;
        file.take(limit + 1).read_to_end(&mut content).ok()?;
        let length = content.len() as u64;
        if length > limit {
            return None;
        }
        self.left -= length;
        Some(content.into())
    }
}

/// A file as it was found.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    content_type: String,
    tag: HeaderValue,
    /// The content, if it is kept.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_while_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut kept = Kept { left: 250 };
        let mut is_kept = |length: usize| {
            fs::write(&path, vec![b'a'; length]).unwrap();
            let content = kept.read(&path, length as u64);
            content.is_some_and(|content| content.len() == length)
        };
        let lengths = [100, 100, 51, 50, 1, 0];
        assert_eq!(
            lengths.map(&mut is_kept),
            [true, true, false, true, false, true]
        );
        let large = usize::try_from(KEPT_BYTES).unwrap() + 1;
        kept = Kept::default();
        fs::write(&path, vec![b'a'; large]).unwrap();
        assert_eq!(kept.read(&path, large as u64), None);
        assert_eq!(kept.read(&path, 1), None, "it has grown");
        assert_eq!(kept.left, ALL_KEPT_BYTES);
    }
}
