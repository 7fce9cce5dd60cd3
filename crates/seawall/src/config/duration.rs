//! Durations as people write them: `500ms`, `5s`, `30m`, `4h`, `7d`.

use std::time::Duration;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};

/// A thousand years, in days as the text has it: longer than anything, and short enough to be added to
/// any time.
const LONGEST: Duration = Duration::from_secs(365_000 * 86_400);
const BOUNDS: &str = "durations are from 1ms to 365000d";

/// A duration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span(pub(super) Duration);

/// A time after which something ends; `none` or 0 for never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timeout(pub(super) Option<Duration>);

/// A duration, or a word for none (`auto`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MaybeSpan(pub(super) Option<Duration>);

/// As it stands in the file; a number by itself lacks its unit.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
    Other(IgnoredAny),
}

impl Written {
    /// `or` is what may stand there beside a duration.
    fn parse<E: Error>(&self, or: &str) -> Result<Duration, E> {
        match self {
            Self::Number(0) => parse("0s").map_err(E::custom),
            Self::Number(number) => Err(E::custom(format!(
                "{number} is no duration, without a unit; write \"{number}s\" for seconds"
            ))),
            Self::Text(text) => parse(text).map_err(E::custom),
            Self::Other(_) => Err(E::custom(format!(
                "write a duration, for example \"5s\"{or}"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.parse("").map(Self)
    }
}

impl<'de> Deserialize<'de> for MaybeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) if text == "auto" => Ok(Self(None)),
            written => written.parse(", or \"auto\"").map(|span| Self(Some(span))),
        }
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(0) => Ok(Self(None)),
            Written::Text(text) if ["none", "0", "0s"].contains(&&*text) => Ok(Self(None)),
            written => written.parse(", or \"none\"").map(|span| Self(Some(span))),
        }
    }
}

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        _ if number.is_empty() => None,
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "" => {
            return Err(format!(
                "{text:?} is no duration, without a unit; write {text}s for seconds"
            ));
        }
        _ => None,
    };
    let millis: u64 = millis.ok_or_else(|| {
        format!("{text:?} is no duration; write for example 500ms, 5s, 30m or 4h")
    })?;
    // So many digits that they are no number are too many, too.
    let total = number.parse().unwrap_or(u64::MAX).saturating_mul(millis);
    match Duration::from_millis(total) {
        Duration::ZERO => Err(format!("{text:?} is too short; {BOUNDS}")),
        total if total > LONGEST => Err(format!("{text:?} is too long; {BOUNDS}")),
        total => Ok(total),
    }
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
        let millennium = Duration::from_secs(365_000 * 86_400);
        assert_eq!(parse("365000d"), Ok(millennium));
    }

    #[test]
    fn what_is_wrong_with_a_duration_is_said() {
        let error = |text| parse(text).unwrap_err();
        for text in ["0s", "0ms", "00d"] {
            assert!(error(text).contains("too short"), "{}", error(text));
        }
        for text in ["365001d", "18446744073709551615d", "99999999999999999999s"] {
            assert!(error(text).contains("too long"), "{}", error(text));
            assert!(error(text).contains("365000d"), "{}", error(text));
        }
        assert!(error("5").contains("write 5s"), "{}", error("5"));
        for text in ["", "s", "5 s", "-1s", "5y", "half an hour"] {
            assert!(error(text).contains("30m"), "{}", error(text));
        }
    }
}
