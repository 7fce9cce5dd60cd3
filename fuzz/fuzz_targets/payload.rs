//! Whatever stands in the `map` column: it is read, or an error says why not; what was read is
//! written back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_store::{SessionRecord, Timestamp, Version, codec};

fuzz_target!(|bytes: &[u8]| {
    let Ok(contents) = codec::decode(bytes) else {
        return;
    };
    let record = SessionRecord {
        version: Version::default(),
        created_at: Timestamp::default(),
        last_access: Timestamp::default(),
        idle_timeout: None,
        expiry_slack: std::time::Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: "".into(),
        writers: contents.writers.clone(),
        attributes: contents.attributes.clone(),
    };
    let again = codec::decode(&codec::encode(&record)).expect("what was written can be read");
    assert_eq!(again.writers, contents.writers);
    // A NaN is not equal to itself; its bytes are.
    assert_eq!(
        codec::encode(&SessionRecord {
            attributes: again.attributes,
            ..record.clone()
        }),
        codec::encode(&record)
    );
});
