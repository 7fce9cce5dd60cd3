//! Payloads as they are in tables today. They must be readable for ever: when a test here fails, the
//! format has changed, and needs another format byte.

use super::*;

/// One value of each kind, and two nodes that wrote.
fn sample() -> SessionRecord {
    let nested = BTreeMap::from([
        ("yes".into(), Value::Bool(true)),
        ("no".into(), Value::Bool(false)),
    ]);
    let attributes = BTreeMap::from([
        ("bytes".into(), Value::Bytes(vec![0, 255].into())),
        ("float".into(), Value::F64(1.5)),
        (
            "list".into(),
            Value::List(vec![Value::I64(-1), Value::I64(300)]),
        ),
        ("map".into(), Value::Map(nested)),
        ("null".into(), Value::Null),
        ("opaque".into(), Value::Opaque(vec![0xc1].into())),
        ("text".into(), "ünï".into()),
    ]);
    let writers = Writers::from([
        ("node2".into(), Version::from_i64(1_790_000_000_000)),
        ("node3".into(), Version::from_i64(7)),
    ]);
    record(writers, attributes)
}

const NATIVE: &str = "\
    0182a56e6f646532cf000001a0c4506c00a56e6f6465330787a56279746573c404c40200ffa5666c\
    6f6174c409cb3ff8000000000000a46c697374c40592ffcd012ca36d6170c40a82a26e6fc2a37965\
    73c3a46e756c6cc401c0a66f7061717565c401c1a474657874c406a5c3bc6ec3af";
const COMPRESSED: &str = "\
    02ce12000028b52ffd60ce113d0200e403018081a474657874c512c3da12c0616c6c20776f726b20\
    616e64206e6f20706c6179206d616b657320612073657373696f6e20612064756c6c206f6e652001\
    00de28b35750";
const ENCRYPTED: &str = "\
    0307323032362d3131090909090909090909090909090909090909090909090909bff047e413ce1c\
    503b12083dc8b757872a56d9f52404aee621287a25a743209f86ee42db2d2ed3386314c813011595\
    7f578b291d3f1711279299c195d517ce57bc5eacfed4011c982bff4b6fd4d2c6fd94da8166c79d8f\
    fe9dc438bc536953de4b92a4f8f3003e675a5ef47a2bb8c4ad2bb420b1078b118328e606380da43c\
    126f";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn format_1_stays_as_it_is() {
    assert_eq!(hex(&native::encode(&sample())), NATIVE);
    let contents = Codec::default().decode(&key("a"), &bytes(NATIVE)).unwrap();
    assert_eq!(contents.attributes, sample().attributes);
    assert_eq!(contents.writers, sample().writers);
}

/// As format 1 but for the first byte, and the notes behind it.
#[test]
fn format_4_stays_as_it_is() {
    let mut noted = sample();
    noted.set_issued_at(Timestamp::from_millis(7));
    let expected = format!("04{}81a96973737565645f6174c40107", &NATIVE[2..]);
    assert_eq!(hex(&native::encode(&noted)), expected);
    let codec = Codec::default();
    let contents = codec.decode(&key("a"), &bytes(&expected)).unwrap();
    assert_eq!(contents.notes, noted.notes);
    assert_eq!(contents.attributes, sample().attributes);
}

/// What the library makes of it may change; what it once made must be read.
#[test]
fn format_2_is_read_as_ever() {
    let contents = Codec::default()
        .decode(&key("a"), &bytes(COMPRESSED))
        .unwrap();
    assert_eq!(contents.attributes, text().attributes);
}

/// The bytes were also made by another implementation, from the description in the drafts.
#[test]
fn format_3_stays_as_it_is() {
    let ring = ring(&[("2026-11", 7)]);
    let active = ring.active().unwrap();
    let sealed =
        encryption::seal_with_nonce(&active, &key("a"), &native::encode(&sample()), [9; 24]);
    assert_eq!(hex(&sealed), ENCRYPTED);
    let codec = Codec::new(None, ring);
    let contents = codec.decode(&key("a"), &bytes(ENCRYPTED)).unwrap();
    assert_eq!(contents.attributes, sample().attributes);
}
