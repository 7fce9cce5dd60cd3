//! The recipe's stack: Jetty 12.0.5 twice, with a pool of 20 connections, behind HAProxy.
//!
//! Where the recipe does not work as written, this is its working form: the modules that Jetty 12
//! has, the driver in `lib/ext`, a pool as a JNDI resource, and a check path that answers 200.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use seawall_testing::free_port;

use super::{http, load::PAGE, process::Process, tools};
use crate::command::{execute, program, root};

const JETTY: &str = "jetty-home-12.0.5";
const ARTIFACTS: [(&str, &str); 3] = [
    (
        "org.eclipse.jetty:jetty-home:12.0.5:tar.gz",
        "jetty-home-12.0.5.tar.gz",
    ),
    ("org.postgresql:postgresql:42.7.1", "postgresql-42.7.1.jar"),
    ("com.zaxxer:HikariCP:5.1.0", "HikariCP-5.1.0.jar"),
];
const START_LIMIT: Duration = Duration::from_secs(120);

/// The recipe restarts a node this long after its end (`RestartSec`).
pub(crate) const RESTART_PAUSE: Duration = Duration::from_secs(10);

/// Jetty's and HAProxy's files, ready to be run.
#[derive(Debug)]
pub(crate) struct Recipe {
    folder: PathBuf,
    jdbc_url: String,
    pub(crate) front: u16,
    stats: u16,
    nodes: [u16; 2],
}

/// The stack at work.
#[derive(Debug)]
pub(crate) struct RunningRecipe {
    pub(crate) nodes: [Process; 2],
    pub(crate) balancer: Process,
}

impl Recipe {
    /// Fetches and unpacks what is needed. `database` is a PostgreSQL URL.
    pub(crate) fn prepare(database: &str) -> Result<Self> {
        let folder = super::folder()?;
        for (artifact, file) in ARTIFACTS {
            if !folder.join(file).is_file() {
                println!("fetching {artifact}");
                tools::fetch(artifact, &folder)?;
            }
        }
        if !folder.join(JETTY).is_dir() {
            let archive = folder.join(ARTIFACTS[0].1).display().to_string();
            let into = folder.display().to_string();
            execute(&mut program("tar", &["-xzf", &archive, "-C", &into]))?;
        }
        let recipe = Self {
            jdbc_url: jdbc_url(database)?,
            front: free_port(),
            stats: free_port(),
            nodes: [free_port(), free_port()],
            folder,
        };
        recipe.make_base()?;
        recipe.write_haproxy_configuration()?;
        Ok(recipe)
    }

    /// Starts everything at once, and says how long it took until a page came through the balancer.
    pub(crate) fn start(&self) -> Result<(RunningRecipe, Duration)> {
        let running = RunningRecipe {
            nodes: [self.start_node(0)?, self.start_node(1)?],
            balancer: self.start_balancer()?,
        };
        let took = http::wait_for(self.front, PAGE, START_LIMIT)?;
        for port in self.nodes {
            http::wait_for(port, PAGE, START_LIMIT)?;
        }
        Ok((running, took))
    }

    /// Makes the table by running one node alone: two that start at once on an empty database race
    /// for it, and the loser answers 503 until someone restarts it.
    pub(crate) fn make_table(&self) -> Result<()> {
        let _node = self.start_node(0)?;
        http::wait_for(self.nodes[0], PAGE, START_LIMIT)?;
        Ok(())
    }

    pub(crate) fn start_node(&self, index: usize) -> Result<Process> {
        let name = format!("jetty{}", index + 1);
        let mut java = program("java", &["-Xms256m", "-Xmx512m", "-jar"]);
        java.arg(self.folder.join(JETTY).join("start.jar"));
        java.arg(format!("jetty.http.port={}", self.nodes[index]));
        java.arg(format!("jetty.sessionIdManager.workerName={name}"));
        java.arg(format!("seawall.bench.jdbcUrl={}", self.jdbc_url));
        java.current_dir(self.base());
        Process::start(&mut java, &self.folder.join(format!("{name}.log")))
    }

    fn start_balancer(&self) -> Result<Process> {
        let configuration = self.configuration().display().to_string();
        let mut haproxy = program("haproxy", &["-db", "-f", &configuration]);
        Process::start(&mut haproxy, &self.folder.join("haproxy.log"))
    }

    fn base(&self) -> PathBuf {
        self.folder.join("jetty-base")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("haproxy.cfg")
    }

    fn make_base(&self) -> Result<()> {
        let (base, bench) = (self.base(), root().join("bench"));
        for folder in ["start.d", "lib/ext", "etc", "webapps/session-test"] {
            fs::create_dir_all(base.join(folder))?;
        }
        let copies = [
            (
                bench.join("session-test/index.jsp"),
                "webapps/session-test/index.jsp",
            ),
            (
                bench.join("session-test/check.txt"),
                "webapps/session-test/check.txt",
            ),
            (bench.join("jetty/pool.xml"), "etc/pool.xml"),
            (bench.join("jetty/recipe.ini"), "start.d/recipe.ini"),
            (
                self.folder.join(ARTIFACTS[1].1),
                "lib/ext/postgresql-42.7.1.jar",
            ),
            (
                self.folder.join(ARTIFACTS[2].1),
                "lib/ext/HikariCP-5.1.0.jar",
            ),
        ];
        for (from, to) in copies {
            fs::copy(from, base.join(to))?;
        }
        Ok(())
    }

    fn write_haproxy_configuration(&self) -> Result<()> {
        let configuration = haproxy_configuration(
            "# one thread for each core",
            self.front,
            self.stats,
            self.nodes,
        )?;
        fs::write(self.configuration(), configuration)?;
        Ok(())
    }
}

/// The recipe's `haproxy.cfg` with these ports. It checks a path that answers 200 as soon as the
/// application is there: the recipe's `/` answers 404.
pub(crate) fn haproxy_configuration(
    threads: &str,
    front: u16,
    stats: u16,
    nodes: [u16; 2],
) -> Result<String> {
    let template = fs::read_to_string(root().join("bench/haproxy.cfg"))?;
    let configuration = template
        .replace("@threads@", threads)
        .replace("@http@", &front.to_string())
        .replace("@stats@", &stats.to_string())
        .replace("@node1@", &nodes[0].to_string())
        .replace("@node2@", &nodes[1].to_string());
    ensure!(
        !configuration.contains('@'),
        "bench/haproxy.cfg has an unknown @word@"
    );
    Ok(configuration)
}

fn jdbc_url(database: &str) -> Result<String> {
    let parts = database
        .strip_prefix("postgres://")
        .and_then(|rest| rest.split_once('@'));
    let Some((user, place)) = parts else {
        anyhow::bail!("{database} is no postgres:// URL");
    };
    Ok(format!("jdbc:postgresql://{place}?user={user}"))
}
