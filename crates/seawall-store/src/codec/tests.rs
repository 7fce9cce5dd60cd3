//! What is written comes back, whichever way it is written; what is damaged is said to be; and the
//! bytes of each format are fixed.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;

use super::*;
use crate::{Timestamp, Value, Version, value::NESTING_LIMIT};

mod costs;
mod vectors;

fn key(id: &str) -> SessionKey {
    SessionKey {
        id: id.into(),
        context: "_app".into(),
        virtual_host: "0.0.0.0".into(),
    }
}

fn record(writers: Writers, attributes: Attributes) -> SessionRecord {
    SessionRecord {
        version: Version::from_i64(5),
        created_at: Timestamp::from_millis(1),
        last_access: Timestamp::from_millis(1),
        idle_timeout: None,
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: "node1".into(),
        writers,
        attributes,
        notes: Attributes::new(),
    }
}

/// A session that compresses well.
fn text() -> SessionRecord {
    let text = "all work and no play makes a session a dull one ".repeat(100);
    record(
        Writers::new(),
        [("text".into(), text.as_str().into())].into(),
    )
}

/// Keys of one byte repeated, by their ids, the first of which is active.
fn ring(ids: &[(&str, u8)]) -> KeyRing {
    let entry = |(id, byte): &(&str, u8)| format!("{id}:{}", BASE64_STANDARD.encode([*byte; 32]));
    let entries: Vec<_> = ids.iter().map(entry).collect();
    let ring = KeyRing::parse(&entries.join("\n")).unwrap();
    ring.with_active(ids[0].0).unwrap()
}

fn codec(ids: &[(&str, u8)]) -> Codec {
    Codec::new(None, ring(ids))
}

/// One of each way to write.
fn codecs() -> [Codec; 4] {
    let keys = || ring(&[("k", 1)]);
    [
        Codec::default(),
        Codec::new(Some(0), KeyRing::default()),
        Codec::new(None, keys()),
        Codec::new(Some(0), keys()),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        (-1e9..1e9).prop_map(Value::F64),
        ".*".prop_map(|s: String| Value::String(s.into())),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|b| Value::Bytes(b.into())),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            proptest::collection::btree_map(".{0,8}", inner, 0..6).prop_map(|map| {
                Value::Map(map.into_iter().map(|(k, v)| (Arc::from(k), v)).collect())
            }),
        ]
    })
}

fn records() -> impl Strategy<Value = SessionRecord> {
    let attributes = proptest::collection::btree_map(".{0,20}", values(), 0..8);
    let nodes = proptest::collection::btree_map("[a-z]{1,9}", any::<i64>(), 0..4);
    let notes = proptest::collection::btree_map("[a-z]{1,9}", values(), 0..3);
    (attributes, nodes, notes).prop_map(|(attributes, nodes, notes)| {
        let writer = |(node, version): (String, i64)| (node.into(), Version::from_i64(version));
        let attribute = |(name, value): (String, Value)| (name.into(), value);
        let [attributes, notes] =
            [attributes, notes].map(|values| values.into_iter().map(attribute).collect());
        SessionRecord {
            notes,
            ..record(nodes.into_iter().map(writer).collect(), attributes)
        }
    })
}

proptest! {
    #[test]
    fn a_value_is_no_larger_than_it_says(value in values()) {
        let written = rmp_serde::to_vec(&value).unwrap();
        prop_assert!(written.len() <= value.size(), "{} of {}", written.len(), value.size());
    }

    #[test]
    fn contents_come_back_whichever_way_they_were_written(record in records(), id in ".{0,50}") {
        for codec in codecs() {
            let payload = codec.encode(&key(&id), &record);
            let contents = codec.decode(&key(&id), &payload).unwrap();
            prop_assert_eq!(&contents.writers, &record.writers);
            prop_assert_eq!(&contents.attributes, &record.attributes);
            prop_assert_eq!(&contents.notes, &record.notes);
            prop_assert_eq!(codec.unreadable(), UnreadableCounts::default());
        }
    }

    /// A payload takes no more than what its names and values say, 10 bytes for each attribute, 74
    /// for each node that wrote, and 85 in all.
    #[test]
    fn a_payload_is_no_larger_than_its_parts(record in records()) {
        let attributes = record.attributes.iter().chain(&record.notes);
        let parts: usize = attributes.map(|(name, value)| name.len() + value.size() + 10).sum();
        for codec in codecs() {
            let written = codec.encode(&key("a"), &record).len();
            prop_assert!(written <= parts + record.writers.len() * 74 + 85, "{written} of {parts}");
        }
    }

    #[test]
    fn any_bytes_decode_or_fail_cleanly(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let codec = codec(&[("k", 1)]);
        let _ = codec.decode(&key("a"), &bytes);
        let formats = [native::FORMAT, native::NOTED_FORMAT, compression::FORMAT, encryption::FORMAT];
        for format in formats {
            if let Some(first) = bytes.first_mut() {
                *first = format;
            }
            let _ = codec.decode(&key("a"), &bytes);
        }
    }

    #[test]
    fn any_value_is_kept_byte_for_byte_when_it_cannot_be_read(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
        let opaque = Value::Opaque(raw.as_slice().into());
        let codec = Codec::default();
        let payload = codec.encode(&key("a"), &record(Writers::new(), [("x".into(), opaque.clone())].into()));
        let contents = codec.decode(&key("a"), &payload).unwrap();
        let saved = codec.encode(&key("a"), &record(Writers::new(), contents.attributes.clone()));
        if contents.attributes["x"] == opaque {
            prop_assert_eq!(saved, payload);
        } else {
            let again = codec.decode(&key("a"), &saved).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{contents:?}"));
        }
    }

    #[test]
    fn a_changed_byte_never_opens(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let codec = codec(&[("k", 1)]);
        let mut payload = codec.encode(&key("a"), &text());
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        prop_assert!(codec.decode(&key("a"), &payload).is_err(), "byte {at}");
    }
}

#[test]
fn one_bad_value_is_one_bad_value() {
    let codec = Codec::default();
    let attributes = BTreeMap::from([("a".into(), Value::from(1)), ("b".into(), Value::from(2))]);
    let mut payload = codec.encode(&key("s"), &record(Writers::new(), attributes));
    *payload.last_mut().unwrap() = 0xc1; // never used in MessagePack
    let decoded = codec.decode(&key("s"), &payload).unwrap().attributes;
    assert_eq!(decoded["a"], Value::I64(1));
    assert_eq!(decoded["b"], Value::Opaque(Arc::from(&[0xc1][..])));
    assert_eq!(
        codec.encode(&key("s"), &record(Writers::new(), decoded)),
        payload,
        "what cannot be read is kept byte for byte"
    );
    assert_eq!(codec.unreadable().attributes, 1);
    assert_eq!(codec.unreadable().sessions, 0);
}

#[test]
fn what_would_be_written_back_as_something_else_is_not_read() {
    for (what, raw) in [
        ("an extension type", &[0xd4_u8, 1, 7][..]),
        ("a text that is not UTF-8", &[0xa1, 0xff]),
        (
            "an integer of 64 bits",
            &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
        ),
        ("a map with an integer for a name", &[0x81, 1, 1]),
        (
            "a map with a name that occurs twice",
            &[0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2],
        ),
        ("two values", &[1, 2]),
        ("no value", &[]),
        ("an array that ends early", &[0xdd, 255, 255, 255, 255, 1]),
        ("what is nested too deeply", &[0x91; NESTING_LIMIT + 2]),
    ] {
        assert_eq!(value::read(raw), None, "{what}");
    }
    let mut deepest = [0x91; NESTING_LIMIT + 1];
    deepest[NESTING_LIMIT] = 0xc0;
    let deepest = value::read(&deepest).unwrap();
    assert!(deepest.nests_within_limit());
    assert!(!Value::List(vec![deepest]).nests_within_limit());
}

#[test]
fn damage_and_unknown_formats_are_named() {
    let codec = codec(&[("k", 1)]);
    let decode = |payload: &[u8]| codec.decode(&key("a"), payload);
    assert_eq!(decode(&[]), Ok(Contents::default()));
    assert_eq!(decode(&[9, 0x80]), Err(DecodeError::Format(9)));
    let twice = [
        1, 0x80, 0x82, 0xa1, 0x61, 0xc4, 1, 1, 0xa1, 0x61, 0xc4, 1, 2,
    ];
    for damaged in [
        &[1, 0x80, 0x81][..],
        &[1, 0x80, 0x80, 0],
        &twice,
        &[2, 1],
        &[2, 3, 0, 0, 0, 1, 0x80, 0x80],
        &[3],
        &[3, 0, 1, 2],
        &[3, 1, 0xff],
        &[3, 1, b'k', 0, 0, 0],
    ] {
        let error = decode(damaged).unwrap_err();
        assert!(
            matches!(error, DecodeError::Damaged(_)),
            "{damaged:?}: {error:?}"
        );
    }
    assert_eq!(codec.unreadable().sessions, 10);
    assert_eq!(codec.unreadable().missing_keys, 0);
}

#[test]
fn payloads_are_not_nested_in_other_ways_than_described() {
    let plain = native::encode(&text());
    let compressed = compression::compress(&plain).unwrap();
    let twice = compression::compress(&[compressed.as_slice(), &[0; 5_000]].concat()).unwrap();
    let ring = ring(&[("k", 1)]);
    let sealed = encryption::seal(&ring.active().unwrap(), &key("a"), &plain);
    let sealed_twice = encryption::seal(&ring.active().unwrap(), &key("a"), &sealed);
    let codec = Codec::new(None, ring);
    let decode = |payload: &[u8]| codec.decode(&key("a"), payload);
    assert!(decode(&compressed).is_ok() && decode(&sealed).is_ok());
    assert_eq!(decode(&twice), Err(DecodeError::Format(2)));
    assert_eq!(decode(&sealed_twice), Err(DecodeError::Format(3)));
}

#[test]
fn only_what_becomes_smaller_is_compressed() {
    let plain = Codec::default().encode(&key("a"), &text());
    let at = |above| Codec::new(Some(above), KeyRing::default());
    let compressed = at(1_024).encode(&key("a"), &text());
    assert_eq!(compressed[0], compression::FORMAT);
    assert!(compressed.len() * 10 < plain.len(), "{}", compressed.len());
    assert_eq!(
        at(plain.len()).encode(&key("a"), &text()),
        plain,
        "not above"
    );
    let mut noise = [0; 2_000];
    getrandom::fill(&mut noise).unwrap();
    let noise = record(
        Writers::new(),
        [("noise".into(), Value::Bytes(noise.as_slice().into()))].into(),
    );
    assert_eq!(at(0).encode(&key("a"), &noise)[0], native::FORMAT);
}

#[test]
fn a_few_bytes_do_not_become_many() {
    let bomb = |says: u32, holds: usize| {
        let frame = zstd::bulk::compress(&vec![0; holds], 19).unwrap();
        [&[compression::FORMAT][..], &says.to_le_bytes(), &frame].concat()
    };
    let decode = |payload: &[u8]| Codec::default().decode(&key("a"), payload);
    let limit = u32::try_from(EXPANDED_LIMIT).unwrap();
    assert_eq!(
        decode(&bomb(limit + 1, EXPANDED_LIMIT + 1)),
        Err(DecodeError::TooLarge(EXPANDED_LIMIT + 1))
    );
    for (says, holds) in [
        (limit, EXPANDED_LIMIT + 1),
        (10, 4 * EXPANDED_LIMIT),
        (10, 9),
    ] {
        assert_eq!(
            decode(&bomb(says, holds)),
            Err(DecodeError::Damaged(5)),
            "{says} {holds}"
        );
    }
    let large = Value::Bytes(vec![0; EXPANDED_LIMIT].into());
    let large = record(Writers::new(), [("large".into(), large)].into());
    let payload = Codec::new(Some(0), KeyRing::default()).encode(&key("a"), &large);
    assert_eq!(
        payload[0],
        native::FORMAT,
        "what could not be read is not written"
    );
    assert!(decode(&payload).is_ok());
}

#[test]
fn a_payload_opens_in_its_own_row_only() {
    let codec = codec(&[("k", 1)]);
    let payload = codec.encode(&key("a"), &text());
    assert!(codec.decode(&key("a"), &payload).is_ok());
    let other_context = SessionKey {
        context: "_".into(),
        ..key("a")
    };
    let other_host = SessionKey {
        virtual_host: "example.org".into(),
        ..key("a")
    };
    let shifted = SessionKey {
        context: "app".into(),
        ..key("a_")
    };
    for other in [key("b"), other_context, other_host, shifted] {
        let sealed = DecodeError::Sealed("k".into());
        assert_eq!(codec.decode(&other, &payload), Err(sealed), "{other:?}");
    }
    let plain = native::encode(&text());
    assert!(
        !payload
            .windows(8)
            .any(|part| plain.windows(8).any(|plain| plain == part))
    );
    assert_ne!(
        payload,
        codec.encode(&key("a"), &text()),
        "each time another nonce"
    );
}

#[test]
fn keys_rotate_and_a_missing_one_is_counted() {
    let (old, both, new) = (
        codec(&[("old", 1)]),
        codec(&[("new", 2), ("old", 1)]),
        codec(&[("new", 2)]),
    );
    let payload = old.encode(&key("a"), &text());
    assert!(both.decode(&key("a"), &payload).is_ok());
    let rotated = both.encode(&key("a"), &text());
    assert!(new.decode(&key("a"), &rotated).is_ok());
    assert!(Codec::default().decode(&key("a"), &rotated).is_err());
    let error = new.decode(&key("a"), &payload).unwrap_err();
    assert_eq!(error, DecodeError::MissingKey("old".into()));
    assert!(error.to_string().contains("\"old\""), "{error}");
    let counts = UnreadableCounts {
        attributes: 0,
        sessions: 1,
        missing_keys: 1,
    };
    assert_eq!(new.unreadable(), counts);
    let another = codec(&[("old", 3)]).decode(&key("a"), &payload);
    assert_eq!(another, Err(DecodeError::Sealed("old".into())));
}

#[test]
fn nothing_secret_is_shown() {
    let codec = codec(&[("k", 1)]);
    let shown = format!("{codec:?}");
    assert!(
        shown.contains("\"k\"") && !shown.contains("AQEB"),
        "{shown}"
    );
    assert!(!shown.contains("1, 1, 1"), "{shown}");
}
