//! Whatever stands in the `map` column: it is read, or an error says why not; what was read is
//! written back as it was, in each of the ways to write it.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use seawall_store::{Attributes, Codec, KeyRing, SessionKey, SessionRecord, Timestamp, Version};

/// In clear, compressed, encrypted, and both; all of them read all of it.
static CODECS: LazyLock<[Codec; 4]> = LazyLock::new(|| {
    let keys = || KeyRing::parse("k:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").expect("a key");
    let active = || keys().with_active("k").expect("it is there");
    [
        Codec::new(None, keys()),
        Codec::new(Some(0), keys()),
        Codec::new(None, active()),
        Codec::new(Some(0), active()),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    let key = SessionKey {
        id: "a".into(),
        context: "_".into(),
        virtual_host: "0.0.0.0".into(),
    };
    let [plain, ..] = &*CODECS;
    let Ok(contents) = plain.decode(&key, bytes) else {
        return;
    };
    let record = SessionRecord {
        version: Version::default(),
        created_at: Timestamp::default(),
        last_access: Timestamp::default(),
        idle_timeout: None,
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: "".into(),
        writers: contents.writers,
        attributes: contents.attributes,
        notes: contents.notes,
    };
    // A NaN is not equal to itself; its bytes are.
    let in_clear = |attributes: Attributes, notes: Attributes| {
        let record = SessionRecord {
            attributes,
            notes,
            ..record.clone()
        };
        plain.encode(&key, &record)
    };
    let expected = in_clear(record.attributes.clone(), record.notes.clone());
    for codec in &*CODECS {
        let payload = codec.encode(&key, &record);
        let again = plain
            .decode(&key, &payload)
            .expect("what was written can be read");
        assert_eq!(again.writers, record.writers);
        assert_eq!(in_clear(again.attributes, again.notes), expected);
    }
});
