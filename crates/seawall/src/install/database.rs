//! A PostgreSQL of this machine, with a database for the sessions.

use super::{
    facts::Distribution,
    plan::{Inputs, PASSWORD},
    step::{Call, Probe, Step},
};

/// The store's URL; the password is in a file of its own.
pub(super) const URL: &str = "postgres://seawall@127.0.0.1:5432/seawall";

/// What the step does that makes the database; by it an installation knows its own.
pub(super) const DOES: &str = "make the database seawall and its owner";

const ROLE: &str = "seawall";

/// How many databases there are beside ours and those that PostgreSQL makes itself.
pub(super) const OTHER_DATABASES: &str = "SELECT count(*) FROM pg_database WHERE datname NOT IN \
     ('postgres', 'template0', 'template1', 'seawall')";

const REMOVAL: &str = "DROP DATABASE IF EXISTS seawall;\nDROP ROLE IF EXISTS seawall;\n";

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
    let password = inputs.password.unwrap_or_default();
    steps.push(Step::Command {
        does: DOES.to_owned(),
        probe: Probe::Prints(probe(), "ready".to_owned()),
        run: Call::reading(&psql(), &creation(password, inputs.owns_database)),
        undo: Some(Call::reading(&psql(), REMOVAL)),
        data: true,
        secret: true,
    });
    steps
}

/// A statement's first value, as PostgreSQL's own user sees it.
pub(super) fn question(statement: &str) -> Call {
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

/// The role and its database. It owns the database, because others may make no tables in it from
/// PostgreSQL 15 on.
fn creation(password: &str, owns_database: bool) -> String {
    let password = password.replace('\'', "''");
    let guard = match owns_database {
        true => "",
        false => {
            "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'seawall') THEN RAISE \
             EXCEPTION 'the role seawall is there already, and is not this installation''s; give \
             its URL with --store, or drop it'; END IF; END $$;\n"
        }
    };
    format!(
        "SET log_statement = 'none';\n\
         {guard}\
         DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'seawall') THEN CREATE \
         ROLE seawall; END IF; END $$;\n\
         ALTER ROLE seawall LOGIN PASSWORD '{password}';\n\
         SELECT 'CREATE DATABASE seawall OWNER seawall' WHERE NOT EXISTS (SELECT FROM pg_database \
         WHERE datname = 'seawall')\\gexec\n\
         ALTER DATABASE seawall OWNER TO seawall;\n\
         REVOKE ALL ON DATABASE seawall FROM PUBLIC;\n"
    )
}

fn command(does: &str, probe: Probe, run: Call) -> Step {
    Step::Command {
        does: does.to_owned(),
        probe,
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
