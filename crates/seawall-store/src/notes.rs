//! What Seawall itself keeps in a session, beside what the application does: the device that uses
//! it, and when its id was issued.
//!
//! Notes stand behind the attributes in the payload, so that every back end keeps them, no column
//! is written for them, and a session without notes costs nothing.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::{
    clock::Timestamp,
    record::SessionRecord,
    store::{Read, ReadOutcome, SessionStore, SessionSummary, StoreError},
    value::Value,
};

/// The names of the notes.
const ADDRESS: &str = "address";
const ISSUED_AT: &str = "issued_at";
const SUCCESSOR: &str = "successor";
const USER_AGENT: &str = "user_agent";

/// The most bytes of a user agent that are kept; browsers send about 120.
const USER_AGENT_LIMIT: usize = 256;

/// How many sessions are read at a time for their notes: a session may be some MB.
const READ_LIMIT: usize = 50;

/// What is known of the device that uses a session. It comes from the client, who may say anything
/// about its user agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    user_agent: Option<Arc<str>>,
    address: Option<IpAddr>,
}

impl Device {
    /// A device. Of the user agent the first 256 bytes are kept, without control characters.
    #[must_use]
    pub fn new(user_agent: Option<&str>, address: Option<IpAddr>) -> Self {
        let user_agent = user_agent.map(|text| {
            let end = text.floor_char_boundary(USER_AGENT_LIMIT);
            let plain: String = text[..end].chars().filter(|c| !c.is_control()).collect();
            Arc::from(plain)
        });
        Self {
            user_agent,
            address: address.map(|address| address.to_canonical()),
        }
    }

    /// What the client says that it is (RFC 9110, section 10.1.5).
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// Where the client's requests came from.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

impl SessionRecord {
    /// The device that used the session last, as far as it was written down.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        let user_agent = self.notes.get(USER_AGENT).and_then(Value::as_str);
        let address = self.notes.get(ADDRESS).and_then(address);
        let known = user_agent.is_some() || address.is_some();
        known.then(|| Device::new(user_agent, address))
    }

    /// Whether this is the device that is written down.
    #[must_use]
    pub fn is_device(&self, device: &Device) -> bool {
        let user_agent = self.notes.get(USER_AGENT).and_then(Value::as_str);
        user_agent == device.user_agent()
            && self.notes.get(ADDRESS).and_then(address) == device.address
    }

    /// Writes the device down.
    pub fn set_device(&mut self, device: &Device) {
        let user_agent = device.user_agent.clone().map(Value::String);
        let address = device.address.map(|address| match address {
            IpAddr::V4(address) => Value::Bytes(address.octets()[..].into()),
            IpAddr::V6(address) => Value::Bytes(address.octets()[..].into()),
        });
        for (name, note) in [(USER_AGENT, user_agent), (ADDRESS, address)] {
            match note {
                Some(note) => drop(self.notes.insert(name.into(), note)),
                None => drop(self.notes.remove(name)),
            }
        }
    }

    /// When the session got the id that it has, as far as it was written down: its beginning else.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        let noted = self.notes.get(ISSUED_AT).and_then(Value::as_i64);
        noted.map_or(self.created_at, Timestamp::from_millis)
    }

    /// Writes down when the session got its id.
    pub fn set_issued_at(&mut self, issued_at: Timestamp) {
        let millis = Value::I64(issued_at.as_millis());
        self.notes.insert(ISSUED_AT.into(), millis);
    }

    /// From what the id that followed this one is made, when this is no session but a mark where
    /// one was.
    #[must_use]
    pub fn successor(&self) -> Option<&Arc<[u8]>> {
        match self.notes.get(SUCCESSOR) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Makes this a mark where a session was.
    pub fn set_successor(&mut self, bytes: &[u8]) {
        self.notes
            .insert(SUCCESSOR.into(), Value::Bytes(bytes.into()));
    }
}

/// What is known of the devices that use these sessions, in their order; nothing of a session that
/// has ended meanwhile.
///
/// Notes are part of the payload, so the sessions are read, some at a time.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub async fn devices(
    store: &dyn SessionStore,
    sessions: &[SessionSummary],
) -> Result<Vec<Option<Device>>, StoreError> {
    let mut devices = Vec::with_capacity(sessions.len());
    for some in sessions.chunks(READ_LIMIT) {
        let read = |session: &SessionSummary| Read {
            key: session.key.clone(),
            known: None,
        };
        let mut reads: Vec<Read> = some.iter().map(read).collect();
        reads.sort_by(|a, b| a.key.cmp(&b.key));
        let outcomes = store.read(&reads).await?;
        let found: HashMap<_, _> = reads
            .iter()
            .zip(outcomes)
            .filter_map(|(read, outcome)| match outcome {
                ReadOutcome::Found(record) => Some((&read.key, record.device()?)),
                _ => None,
            })
            .collect();
        devices.extend(some.iter().map(|session| found.get(&session.key).cloned()));
    }
    Ok(devices)
}

fn address(note: &Value) -> Option<IpAddr> {
    let Value::Bytes(octets) = note else {
        return None;
    };
    let v4 = <[u8; 4]>::try_from(&octets[..]).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = <[u8; 16]>::try_from(&octets[..]).map(|octets| Ipv6Addr::from(octets).into());
    v4.or(v6).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_of_itself_is_bounded() {
        let long = format!("Mozilla\r\n\u{1b}[31m{}", "ü".repeat(300));
        let device = Device::new(Some(&long), None);
        let kept = device.user_agent().unwrap();
        assert!(kept.starts_with("Mozilla[31mü") && kept.len() <= USER_AGENT_LIMIT);
        assert!(kept.len() > USER_AGENT_LIMIT - 8, "{}", kept.len());
    }

    #[test]
    fn addresses_are_one_whatever_the_socket_calls_them() {
        let mapped = "::ffff:192.0.2.1".parse().ok();
        let device = Device::new(None, mapped);
        assert_eq!(device.address(), "192.0.2.1".parse().ok());
    }
}
