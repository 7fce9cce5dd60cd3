//! A PostgreSQL of this machine, with a database for the sessions.

use super::{
    InstallError,
    facts::Distribution,
    plan::{Inputs, PASSWORD},
    step::{Call, Probe, Step},
    target::{run, succeeds},
};

/// The store's URL; the password is in a file of its own.
pub(super) const URL: &str = "postgres://seawall@127.0.0.1:5432/seawall";

const ROLE: &str = "seawall";

/// Whether there is a role that an installation has made: it says so in its comment, where no
/// accident with files can make somebody else's ours. Its database is ours too.
const OUR_ROLE: &str = "EXISTS (SELECT FROM pg_roles WHERE rolname = 'seawall' AND \
     shobj_description(oid, 'pg_authid') = 'Made by seawall install.')";

/// Whether there is a database of that name that belongs to somebody else than the role.
const OTHERS_DATABASE: &str = "EXISTS (SELECT FROM pg_database WHERE datname = 'seawall' AND \
     pg_get_userbyid(datdba) <> 'seawall')";

/// The package with the server.
pub(super) fn package(distribution: Distribution) -> Result<&'static str, String> {
    match distribution {
        Distribution::Debian => Ok("postgresql"),
        Distribution::RedHat => Ok("postgresql-server"),
        Distribution::Other => Err(
            "PostgreSQL is installed here on Debian, Ubuntu, AlmaLinux and Rocky only; install \
             it yourself and give its URL with --store"
                .to_owned(),
        ),
    }
}

/// That the server runs, and has the database.
pub(super) fn steps(inputs: &Inputs<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    if inputs.facts.distribution == Distribution::RedHat {
        steps.push(command(
            "make PostgreSQL's data folder",
            Probe::Succeeds(Call::new(&["test", "-e", "/var/lib/pgsql/data/PG_VERSION"])),
            // As it comes, the server takes no passwords from this machine's users.
            Call::new(&[
                "env",
                "PGSETUP_INITDB_OPTIONS=--auth-host=scram-sha-256",
                "postgresql-setup",
                "--initdb",
            ]),
        ));
        steps.push(command(
            "start PostgreSQL at boot",
            Probe::Succeeds(systemctl(&["--quiet", "is-enabled", "postgresql.service"])),
            systemctl(&["enable", "postgresql.service"]),
        ));
    }
    steps.push(command(
        "start PostgreSQL",
        Probe::Succeeds(systemctl(&["--quiet", "is-active", "postgresql.service"])),
        systemctl(&["start", "postgresql.service"]),
    ));
    steps.extend(conditions().map(|condition| {
        let probe = Probe::Prints(question(&condition.asks), condition.wants.to_owned());
        command(condition.sees, probe, condition.refuse())
    }));
    let password = inputs.password.unwrap_or_default();
    let logs_in = Probe::Prints(probe(), "ready".to_owned());
    steps.push(Step::Command {
        does: "make the database seawall and its owner".to_owned(),
        probe: logs_in.clone(),
        known_by: Some(logs_in),
        run: Call::reading(&psql(), &creation(password)),
        undo: Some(Call::reading(&psql(), &removal())),
        data: true,
        secret: true,
    });
    steps
}

/// Why a PostgreSQL on another port is not used.
const OTHER_PORT: &str = "DO $$ BEGIN RAISE EXCEPTION 'PostgreSQL listens on port %, since another \
     program had 5432 when it was set up; make a database in it and give its URL with --store', \
     current_setting('port'); END $$;\n";

/// What must hold of the server before a database is made in it.
struct Condition {
    sees: &'static str,
    /// A statement, and the only answer to it with which one can go on.
    asks: String,
    wants: &'static str,
    /// A statement that fails with the reason why not.
    otherwise: String,
}

impl Condition {
    fn refuse(&self) -> Call {
        Call::reading(&psql(), &self.otherwise)
    }
}

fn conditions() -> [Condition; 2] {
    [
        Condition {
            sees: "see that PostgreSQL listens on port 5432",
            asks: "SHOW port".to_owned(),
            wants: "5432",
            otherwise: OTHER_PORT.to_owned(),
        },
        Condition {
            sees: "see that nobody else has a role or database seawall",
            asks: free(),
            wants: "free",
            otherwise: refusal(),
        },
    ]
}

/// Finds what would stop the steps, of a server that runs already, before anything is changed.
pub(super) fn check() -> Result<(), InstallError> {
    if !succeeds(&["systemctl", "--quiet", "is-active", "postgresql.service"]) {
        return Ok(());
    }
    for condition in conditions() {
        // A server that cannot be asked is met later.
        let answer = run(&question(&condition.asks));
        if answer.is_ok_and(|answer| answer.trim() != condition.wants) {
            run(&condition.refuse())?;
        }
    }
    Ok(())
}

/// Whether it is certain that PostgreSQL holds nothing but what an installation and PostgreSQL
/// itself have made. Who cannot be asked may hold anything.
pub(super) fn is_nobody_elses() -> bool {
    if !succeeds(&["sh", "-c", "command -v pg_lsclusters"]) {
        return is_empty(None);
    }
    // Where Debian's packages go, all clusters go with them.
    let list = run(&Call::new(&["pg_lsclusters", "--no-header"]));
    list.is_ok_and(|list| {
        let mut clusters = list.lines().map(|line| {
            let mut words = line.split_whitespace();
            format!(
                "{}/{}",
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default()
            )
        });
        match (clusters.next(), clusters.next()) {
            (None, _) => true,
            (Some(only), None) => is_empty(Some(&only)),
            _ => false,
        }
    })
}

/// Asks both databases to which somebody may have added something.
fn is_empty(cluster: Option<&str>) -> bool {
    let answers = ["postgres", "template1"].map(|database| {
        let mut call = Call::new(&psql());
        if let Some(cluster) = cluster {
            let place = call.program.iter().position(|word| word == "psql");
            let variable = ["env".to_owned(), format!("PGCLUSTER={cluster}")];
            call.program
                .splice(place.unwrap_or(0)..place.unwrap_or(0), variable);
        }
        call.program.push(format!("--dbname={database}"));
        call.program.push(format!("--command={}", emptiness()));
        run(&call)
    });
    answers
        .iter()
        .all(|answer| answer.as_ref().is_ok_and(|text| text.trim() == "empty"))
}

/// `empty`, if nothing is there that was made later than the cluster (whose own objects have lower
/// numbers: FirstNormalObjectId), but for what is ours.
fn emptiness() -> String {
    let ours = format!("= 'seawall' AND {OUR_ROLE}");
    let later = [
        format!("pg_database WHERE oid >= 16384 AND NOT (datname {ours})"),
        format!("pg_roles WHERE oid >= 16384 AND NOT (rolname {ours})"),
        "pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'".to_owned(),
        "pg_tablespace WHERE oid >= 16384".to_owned(),
        "pg_class WHERE oid >= 16384".to_owned(),
        "pg_proc WHERE oid >= 16384".to_owned(),
        "pg_largeobject_metadata".to_owned(),
    ]
    .map(|catalog| format!("SELECT 1 FROM {catalog}"));
    format!(
        "SELECT 'empty' WHERE NOT EXISTS ({})",
        later.join(" UNION ALL ")
    )
}

/// A statement's first value, as PostgreSQL's own user sees it.
fn question(statement: &str) -> Call {
    let mut call = Call::new(&psql());
    call.program.push("--command".to_owned());
    call.program.push(statement.to_owned());
    call
}

fn psql() -> [&'static str; 10] {
    [
        "runuser",
        "--user=postgres",
        "--",
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        "--dbname=postgres",
    ]
}

/// Logs in as the nodes do. The password comes from its file, and stands in no list of processes.
fn probe() -> Call {
    let script = format!(
        "PGPASSWORD=$(cat {PASSWORD}) exec psql --no-psqlrc --tuples-only --no-align \
         --host=127.0.0.1 --username={ROLE} --no-password --dbname={ROLE} --command=\"$0\""
    );
    let question = "SELECT 'ready' WHERE pg_catalog.pg_get_userbyid((SELECT datdba FROM \
                    pg_database WHERE datname = current_database())) = current_user";
    Call::new(&["sh", "-c", &script, question])
}

/// `free`, if whatever is called seawall may be made, or was made by an installation.
fn free() -> String {
    format!(
        "SELECT 'free' WHERE NOT {OTHERS_DATABASE} AND ({OUR_ROLE} OR NOT EXISTS (SELECT FROM \
         pg_roles WHERE rolname = 'seawall'))"
    )
}

/// Why it is not free.
fn refusal() -> String {
    format!(
        "DO $$ BEGIN IF {OTHERS_DATABASE} THEN RAISE EXCEPTION 'the database seawall is there \
         already, and is not this installation''s; give its URL with --store, or drop it'; ELSE \
         RAISE EXCEPTION 'the role seawall is there already, and is not this installation''s; give \
         its URL with --store, or drop it'; END IF; END $$;\n"
    )
}

/// The role and its database. It owns the database, because others may make no tables in it from
/// PostgreSQL 15 on.
fn creation(password: &str) -> String {
    let password = password.replace('\'', "''");
    format!(
        "SET log_statement = 'none'; SET log_min_duration_statement = -1; \
         SET log_min_duration_sample = -1; SET log_transaction_sample_rate = 0; \
         SET log_min_error_statement = 'panic';\n\
         DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'seawall') THEN CREATE \
         ROLE seawall; COMMENT ON ROLE seawall IS 'Made by seawall install.'; END IF; END $$;\n\
         ALTER ROLE seawall LOGIN PASSWORD '{password}';\n\
         SELECT 'CREATE DATABASE seawall OWNER seawall' WHERE NOT EXISTS (SELECT FROM pg_database \
         WHERE datname = 'seawall')\\gexec\n\
         REVOKE ALL ON DATABASE seawall FROM PUBLIC;\n"
    )
}

/// Drops what an installation has made, and nothing else of that name.
fn removal() -> String {
    format!(
        "SELECT 'DROP DATABASE IF EXISTS seawall' WHERE {OUR_ROLE} AND NOT {OTHERS_DATABASE}\\gexec\n\
         SELECT 'DROP ROLE seawall' WHERE {OUR_ROLE}\\gexec\n"
    )
}

fn command(does: &str, probe: Probe, run: Call) -> Step {
    Step::Command {
        does: does.to_owned(),
        probe,
        known_by: None,
        run,
        undo: None,
        data: false,
        secret: false,
    }
}

fn systemctl(arguments: &[&str]) -> Call {
    let mut program = vec!["systemctl"];
    program.extend(arguments);
    Call::new(&program)
}
