//! `seawall sessions`: looking at sessions, ending them, and sweeping by hand.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{ArgGroup, Args, Subcommand};
use seawall_session::{Listeners, SessionId, SessionSettings, sweep};
use seawall_store::{
    Clock, Commit, CommitOutcome, Device, LIST_LIMIT, Read, ReadOutcome, SessionKey, SessionRecord,
    SessionStore, SessionSummary, SystemClock, Timestamp, notes,
};
use serde_json::json;

use crate::{
    cli::{ConfigArgs, fail, say},
    config::{Settings, parse_duration},
    node,
    output::{complain, plain},
    store_access,
};

/// The most sessions that are ended at once: a store has to answer in time.
const BATCH_LIMIT: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the sessions of a principal, newest access first, up to 10,000.
    List {
        /// Whose sessions, as the application named them, for example user:42.
        #[arg(long)]
        principal: String,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// End sessions on every node: one, or all of a principal.
    Revoke(RevokeArgs),
    /// Show a session: its times, its owner, and the names and sizes of its attributes.
    Show(OneSession),
    /// Delete expired sessions now. Nodes do that by themselves, every sweep_interval.
    Sweep {
        /// Only those that expired so long ago.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        older_than: Option<Duration>,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("sessions").args(["id", "principal"]).required(true))]
struct RevokeArgs {
    /// The session: its id as `list` shows it, or its cookie.
    // An id may begin with a hyphen.
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: Option<String>,
    /// All sessions of this principal, in all applications.
    #[arg(long, conflicts_with_all = ["context", "host"])]
    principal: Option<String>,
    #[command(flatten)]
    application: Application,
}

#[derive(Debug, Args)]
struct OneSession {
    /// The session: its id as `list` shows it, or its cookie.
    // An id may begin with a hyphen.
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    #[command(flatten)]
    application: Application,
}

/// Whose session it is.
#[derive(Debug, Args)]
struct Application {
    /// The application's context path.
    #[arg(long, default_value = "/")]
    context: String,
    /// The virtual host, if its sessions are kept apart.
    #[arg(long)]
    host: Option<String>,
}

/// Does what was asked for.
pub(crate) fn run(settings: &Settings, args: &SessionsArgs) -> ExitCode {
    let answer = node::runtime().and_then(|runtime| {
        runtime.block_on(async {
            let store = store_access::open(&settings.store, &settings.store_options).await?;
            carry_out(&*store, &settings.session, &args.command).await
        })
    });
    match answer {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(reason) => fail(&reason),
    }
}

async fn carry_out(
    store: &dyn SessionStore,
    settings: &SessionSettings,
    command: &Command,
) -> Result<String, String> {
    match command {
        Command::List { principal, json } => {
            let sessions = list(store, principal).await?;
            let devices = notes::devices(store, &sessions).await;
            let devices = devices.map_err(|error| error.to_string())?;
            if sessions.len() == usize::from(LIST_LIMIT) {
                complain(&format!(
                    "seawall: these are {LIST_LIMIT} sessions, there may be more"
                ));
            }
            Ok(if *json {
                listed_in_json(&sessions, &devices)
            } else {
                listed(&sessions, &devices)
            })
        }
        Command::Revoke(RevokeArgs {
            id: Some(id),
            application,
            ..
        }) => revoke_one(store, settings, id, application).await,
        Command::Revoke(RevokeArgs { principal, .. }) => {
            let principal = principal.as_deref().unwrap_or_default();
            let ended = revoke_all(store, principal).await?;
            Ok(format!("{ended} sessions ended"))
        }
        Command::Show(OneSession { id, application }) => {
            let (key, record) = find(store, settings, id, application).await?;
            Ok(shown(&key, &record))
        }
        Command::Sweep { older_than } => {
            let clock = Earlier(older_than.unwrap_or_default());
            let swept = sweep::sweep(store, &clock, &Listeners::default())
                .await
                .map_err(|error| error.to_string())?;
            Ok(format!("{swept} expired sessions deleted"))
        }
    }
}

async fn list(store: &dyn SessionStore, principal: &str) -> Result<Vec<SessionSummary>, String> {
    let listing = store.list_by_principal(principal, SystemClock.now());
    listing.await.map_err(|error| error.to_string())
}

/// Ends all sessions of a principal; says how many they were.
async fn revoke_all(store: &dyn SessionStore, principal: &str) -> Result<usize, String> {
    let mut total = 0;
    // A list holds so many and no more, so there is another one, until it has nothing to end.
    loop {
        let sessions = list(store, principal).await?;
        let deletions: Vec<_> = sessions.iter().map(SessionSummary::deletion).collect();
        let mut ended = 0;
        for batch in deletions.chunks(BATCH_LIMIT) {
            let outcomes = store.commit(batch).await;
            let outcomes = outcomes.map_err(|error| error.to_string())?;
            let done = |outcome: &&CommitOutcome| **outcome == CommitOutcome::Done;
            ended += outcomes.iter().filter(done).count();
        }
        if ended == 0 {
            return Ok(total);
        }
        total += ended;
    }
}

async fn revoke_one(
    store: &dyn SessionStore,
    settings: &SessionSettings,
    id: &str,
    application: &Application,
) -> Result<String, String> {
    let (key, record) = find(store, settings, id, application).await?;
    let deletion = Commit::deletion(key, record.origin);
    let outcomes = store
        .commit(&[deletion])
        .await
        .map_err(|error| error.to_string())?;
    match outcomes.as_slice() {
        [CommitOutcome::Done] => Ok("the session has ended".to_owned()),
        _ => Err("the session ended by itself meanwhile".to_owned()),
    }
}

/// The session that a person means, by the stored id or by the cookie.
async fn find(
    store: &dyn SessionStore,
    settings: &SessionSettings,
    id: &str,
    application: &Application,
) -> Result<(SessionKey, SessionRecord), String> {
    let settings = SessionSettings {
        context_path: application.context.as_str().into(),
        ..settings.clone()
    };
    let virtual_host = match &application.host {
        Some(host) => host.to_ascii_lowercase().into(),
        None => settings.virtual_host.clone(),
    };
    let cookie = id.split('.').next().unwrap_or_default();
    let hashed = SessionId::parse(cookie).map(|id| id.stored());
    for id in [Some(Arc::from(id)), hashed].into_iter().flatten() {
        let key = SessionKey {
            id,
            context: settings.key_context(),
            virtual_host: virtual_host.clone(),
        };
        let read = Read {
            key: key.clone(),
            known: None,
        };
        let outcomes = store
            .read(&[read])
            .await
            .map_err(|error| error.to_string())?;
        match outcomes.into_iter().next() {
            Some(ReadOutcome::Found(record)) => return Ok((key, *record)),
            Some(ReadOutcome::Unreadable(reason)) => {
                return Err(format!("the session cannot be read: {reason}"));
            }
            _ => {}
        }
    }
    Err(format!(
        "no such session in the application at {}; say --context if it is another",
        application.context
    ))
}

/// Now, a while ago.
#[derive(Debug)]
struct Earlier(Duration);

impl Clock for Earlier {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now().as_millis();
        let ago = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.saturating_sub(ago))
    }
}

fn listed(sessions: &[SessionSummary], devices: &[Option<Device>]) -> String {
    let mut lines = vec![format!("{} sessions", sessions.len())];
    lines.extend(sessions.iter().zip(devices).map(|(session, device)| {
        let device = device
            .as_ref()
            .map_or(String::new(), |device| format!("  {}", named(device)));
        plain(&format!(
            "{}  {}  used {}  made {}  on {}{device}",
            session.key.id,
            session.key.context,
            time(session.last_access),
            time(session.created_at),
            session.last_node
        ))
    }));
    lines.join("\n")
}

fn listed_in_json(sessions: &[SessionSummary], devices: &[Option<Device>]) -> String {
    let sessions: Vec<_> = sessions
        .iter()
        .zip(devices)
        .map(|(session, device)| {
            let address = device.as_ref().and_then(Device::address);
            json!({
                "id": &*session.key.id,
                "context": &*session.key.context,
                "host": &*session.key.virtual_host,
                "created_at": time(session.created_at),
                "last_access": time(session.last_access),
                "last_node": &*session.last_node,
                "user_agent": device.as_ref().and_then(Device::user_agent),
                "address": address.map(|address| address.to_string()),
            })
        })
        .collect();
    serde_json::Value::from(sessions).to_string()
}

fn shown(key: &SessionKey, record: &SessionRecord) -> String {
    let expiry = record.expires_at().map_or("never".to_owned(), time);
    let mut lines = vec![
        format!("id           {}", key.id),
        format!("context      {}", key.context),
        format!(
            "principal    {}",
            record.principal.as_deref().unwrap_or("-")
        ),
        format!("made         {}", time(record.created_at)),
        format!("used         {}", time(record.last_access)),
        format!("expires      {expiry}"),
        format!("node         {}", record.last_node),
        format!("attributes   {}", record.attributes.len()),
    ];
    if let Some(device) = record.device() {
        lines.insert(lines.len() - 1, format!("device       {}", named(&device)));
    }
    // Values may be secret; their names and sizes say enough.
    lines.extend(
        record
            .attributes
            .iter()
            .map(|(name, value)| format!("  {name}  {} bytes", value.size())),
    );
    let lines: Vec<_> = lines.iter().map(|line| plain(line)).collect();
    lines.join("\n")
}

/// Where the device is, and what it says that it is. Quoted: that may be anything.
fn named(device: &Device) -> String {
    let address = device.address().map(|address| address.to_string());
    let address = address.as_deref().unwrap_or("unknown");
    format!("{address} {:?}", device.user_agent().unwrap_or_default())
}

fn time(timestamp: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(timestamp.as_millis())
        .map_or_else(|_| format!("{timestamp:?}"), |time| time.to_string())
}

/// Deletes a session that a check made; one that is left behind expires by itself.
pub(crate) async fn forget(settings: &Settings, cookie: &str, context: &str) {
    let application = Application {
        context: context.to_owned(),
        host: None,
    };
    let opened = store_access::open(&settings.store, &settings.store_options);
    let Ok(store) = opened.await else {
        return;
    };
    let revoked = revoke_one(&*store, &settings.session, cookie, &application).await;
    if let Err(reason) = revoked {
        tracing::debug!(reason, "the session of a check is left to expire");
    }
}
