//! What a response has to wait for, and the cookie that it carries.

use std::sync::Arc;

use http::HeaderValue;

use super::Session;
use crate::{cached::Cached, error::SessionError, id::SessionId};

impl Session {
    /// Commits what is left and says which cookie the response must carry.
    ///
    /// What failed is not tried again here: the client has waited long enough.
    pub(crate) async fn finish(&self) -> Result<Option<HeaderValue>, SessionError> {
        let failure = self.lock().pending.failure();
        failure.map_or(Ok(()), Err)?;
        self.save().await?;
        let Some(cached) = self.lock().cached() else {
            return Ok(self.lock().cookie.take());
        };
        let renewed = self.manager.renew_if_due(&cached).await;
        Ok(self.cookie_after(&cached, renewed))
    }

    /// The response's cookie, after `cached` may have been renewed. A clone of the session may have gone
    /// on with another id or session while that took its time, and then that one's cookie counts.
    fn cookie_after(
        &self,
        cached: &Arc<Cached>,
        renewed: Option<SessionId>,
    ) -> Option<HeaderValue> {
        let current = self.lock().cached();
        let is_same = |current: &Arc<Cached>| Arc::ptr_eq(current, cached);
        if let Some(renewed) = renewed.filter(|_| current.as_ref().is_some_and(is_same)) {
            return Some(self.manager.issue(&renewed));
        }
        if current.is_some_and(|current| current.lock().is_gone()) {
            // A login or logout meanwhile: the cookie that counts came with its answer.
            return None;
        }
        self.lock().cookie.take()
    }
}
