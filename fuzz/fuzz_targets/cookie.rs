//! Whatever a client sends as a cookie: what is taken for a session id is one.
#![no_main]

use http::{HeaderMap, HeaderValue, header::COOKIE};
use libfuzzer_sys::fuzz_target;
use seawall_session::{Presented, SessionId};

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, value);
    for presented in Presented::all(&headers, "JSESSIONID") {
        assert_eq!(
            SessionId::parse(presented.id.as_str()),
            Some(presented.id.clone())
        );
    }
});
