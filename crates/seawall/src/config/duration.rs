//! Durations as people write them: `500ms`, `5s`, `30m`, `4h`, `7d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// A duration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span(pub(super) Duration);

/// A time after which something ends; `none` or 0 for never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timeout(pub(super) Option<Duration>);

/// A duration, or a word for none (`auto`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MaybeSpan(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map(Span).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for MaybeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "auto" => Ok(Self(None)),
            text => parse(text)
                .map(|span| Self(Some(span)))
                .map_err(D::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a duration, \"none\" or 0")]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(0) => Ok(Self(None)),
            Written::Number(number) => Err(D::Error::custom(no_duration(&number.to_string()))),
            Written::Text(text) => match text.as_str() {
                "none" | "0" | "0s" => Ok(Self(None)),
                text => parse(text)
                    .map(|span| Self(Some(span)))
                    .map_err(D::Error::custom),
            },
        }
    }
}

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: Option<u64> = number.parse().ok();
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let total = number
        .zip(millis)
        .and_then(|(number, millis)| number.checked_mul(millis));
    match total {
        Some(total) if total > 0 => Ok(Duration::from_millis(total)),
        _ => Err(no_duration(text)),
    }
}

fn no_duration(text: &str) -> String {
    format!("{text:?} is no duration; write for example 500ms, 5s, 30m or 4h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("4h"), Ok(Duration::from_secs(14_400)));
        for text in ["", "5", "s", "0s", "-1s", "5 s", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
