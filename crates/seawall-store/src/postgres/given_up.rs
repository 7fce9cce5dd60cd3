//! Connections that were given up before they had answered, and what the server makes of them.
//!
//! What was sent over one may be carried out much later: the server's process was stopped, or the network
//! delivers it late. An update or a deletion harms nothing then, as it compares what it finds. But a
//! session that was made over another connection meanwhile, and has ended since, would be made once more
//! (P4). So the server is told to end such a process before anything else is committed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::{Client, SimpleQueryMessage};

/// More than a node ever has; those that were given up first are forgotten beyond it.
const LIMIT: usize = 16;

/// A process of the server, which works for one connection. Ids of processes are used again, and those of
/// another server are others: so the time of its start is part of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    id: String,
    started_at: String,
}

const FIND: &str = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8 \
     FROM pg_stat_activity WHERE pid = pg_backend_pid()";

impl Process {
    /// The one that works for this connection, if the server tells.
    pub(super) async fn of(client: &Client) -> Option<Self> {
        let found = client.simple_query(FIND).await.ok()?;
        found.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(Self {
                id: row.get(0)?.to_owned(),
                started_at: row.get(1)?.to_owned(),
            }),
            _ => None,
        })
    }

    /// Has the server end it, if it is still there. One that waits for a standby is let be: ended, it
    /// would show what it has written, though the standby has not got it (P1). Until then nobody else
    /// can write these rows.
    fn end(&self) -> String {
        let Self { id, started_at } = self;
        format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {id} \
             AND (extract(epoch FROM backend_start) * 1000000)::int8 = {started_at} \
             AND wait_event IS DISTINCT FROM 'SyncRep'"
        )
    }
}

/// The processes whose connections were given up. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp(Arc<Mutex<Vec<Process>>>);

impl GivenUp {
    pub(super) fn extend(&self, process: Option<Process>) {
        let mut processes = self.processes();
        processes.extend(process);
        let surplus = processes.len().saturating_sub(LIMIT);
        processes.drain(..surplus);
    }

    /// Has the server end them, by another connection. A server that does not obey, because its user may
    /// not, is not asked again.
    pub(super) async fn end(&self, client: &Client) {
        if self.processes().is_empty() {
            return;
        }
        let processes = self.processes().clone();
        for process in &processes {
            match client.batch_execute(&process.end()).await {
                // The next connection tries again.
                Err(error) if error.code().is_none() => return,
                Err(error) => tracing::debug!(%error, "a connection that was given up goes on"),
                Ok(()) => {}
            }
            self.processes().retain(|other| other != process);
        }
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
