//! The sessions of one application, apart for each virtual host that the settings name.

use std::collections::BTreeMap;

use seawall_session::{SessionManager, SessionSettings, SessionStatistics, SettingsError};
use seawall_store::Batcher;

use crate::config::NodeConfig;

/// The sessions of one application.
#[derive(Debug, Clone)]
pub(crate) struct Sites {
    /// Of all hosts that are not named.
    any: SessionManager,
    named: BTreeMap<String, SessionManager>,
}

impl Sites {
    /// The sessions of the application at `context_path`.
    pub(super) fn new(
        config: &NodeConfig,
        batcher: &Batcher,
        context_path: &str,
    ) -> Result<Self, SettingsError> {
        let on = |virtual_host: Option<&str>| {
            let mut settings = SessionSettings {
                context_path: context_path.into(),
                ..config.sessions.clone()
            };
            if let Some(host) = virtual_host {
                settings.virtual_host = host.into();
            }
            // One cookie for all applications of the host, or one for each.
            let path = if settings.shared_id {
                "/"
            } else {
                context_path
            };
            settings.cookie.path = path.into();
            SessionManager::new(batcher.clone(), config.clock.clone(), settings)
        };
        let named = config.virtual_hosts.iter().map(|host| {
            let host = plain(host);
            Ok((host.clone(), on(Some(&host))?))
        });
        Ok(Self {
            any: on(None)?,
            named: named.collect::<Result<_, SettingsError>>()?,
        })
    }

    /// The sessions of another application that shares the ids of this one.
    pub(super) fn application(&self, context_path: &str) -> Result<Self, SettingsError> {
        let named = self.named.iter();
        let named =
            named.map(|(host, sessions)| Ok((host.clone(), sessions.application(context_path)?)));
        Ok(Self {
            any: self.any.application(context_path)?,
            named: named.collect::<Result<_, SettingsError>>()?,
        })
    }

    /// The sessions of the host that a request names.
    pub(crate) fn of(&self, host: &str) -> &SessionManager {
        if self.named.is_empty() {
            return &self.any;
        }
        self.named.get(&plain(host)).unwrap_or(&self.any)
    }

    /// How many sessions this node holds copies of.
    pub(crate) fn cached_sessions(&self) -> usize {
        let named = self.named.values().map(SessionManager::cached_sessions);
        self.any.cached_sessions() + named.sum::<usize>()
    }

    /// What the sessions have done on this node.
    pub(crate) fn statistics(&self) -> SessionStatistics {
        let named = self.named.values().map(SessionManager::statistics);
        named.chain([self.any.statistics()]).sum()
    }

    /// Whether other applications have the same copies.
    pub(crate) fn is_shared(&self) -> bool {
        self.any.settings().shared_id
    }
}

/// A host as it is compared: without port and final dot, in lower case (RFC 9110, section 4.2.3).
fn plain(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_port_case_and_dot() {
        for host in ["shop.example", "Shop.Example.:8000", "SHOP.example:"] {
            assert_eq!(plain(host), "shop.example");
        }
        assert_eq!(plain("[2001:db8::1]:80"), "[2001:db8::1]");
        assert_eq!(plain("[2001:db8::1]"), "[2001:db8::1]");
    }
}
