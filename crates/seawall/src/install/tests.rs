//! Plans: what they hold, and that nothing but their inputs decides.

use std::path::Path;

use super::{
    args::Options,
    facts::{Distribution, Facts, Firewall, LogOwner},
    plan::{CONFIG, Inputs, PASSWORD, Plan, plan},
    step::{Contents, Step},
};
use crate::config;

const EMBEDDED: &str = "data = \"/var/lib/seawall/data\"\n[nodes]\nwebapps = \
                        \"/var/lib/seawall/webapps\"\n[balancer]\nhttp = \"0.0.0.0:80\"\n";
const SERVER: &str = "[store]\nurl = \"postgres://seawall@127.0.0.1:5432/seawall\"\n[balancer]\n\
                      http = \"0.0.0.0:80\"\nstats = \"0.0.0.0:8404\"\n";

fn facts() -> Facts {
    Facts {
        distribution: Distribution::Debian,
        is_live: true,
        firewall: Firewall::None,
        rsyslog: Some(LogOwner {
            user: "root".to_owned(),
            group: "adm".to_owned(),
        }),
        has_logrotate: true,
        has_postgres: false,
        login_shell: None,
    }
}

fn everything() -> Options {
    Options {
        postgres: true,
        log_files: true,
        stats_from: Some("192.0.2.0/24".parse().unwrap()),
        ..Options::default()
    }
}

fn try_plan(text: &str, options: &Options, facts: &Facts) -> Result<Plan, String> {
    let settings = config::of_text(Path::new(CONFIG), text).unwrap();
    plan(&Inputs {
        settings: &settings,
        config: text,
        former_config: None,
        shown_config: None,
        password: options.postgres.then_some("hush"),
        admin_token: None,
        options,
        facts,
        here: &["node1".to_owned(), "node2".to_owned()],
        program: Path::new("/root/seawall"),
    })
}

fn shown(plan: &Plan) -> String {
    let steps: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
    steps.join("\n")
}

fn text_of(plan: &Plan, file: &str) -> String {
    let found = plan.steps.iter().find_map(|step| match step {
        Step::File {
            path,
            contents: Contents::Text(text),
            ..
        } if path.ends_with(file) => Some(text.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("the plan has no {file}:\n{}", shown(plan)))
}

#[test]
fn the_same_inputs_give_the_same_plan_and_each_step_once() {
    let chains = vec![["inet", "filter", "input"].map(str::to_owned)];
    for firewall in [
        Firewall::Firewalld,
        Firewall::Nftables(chains),
        Firewall::Ufw(Vec::new()),
    ] {
        let facts = Facts {
            firewall,
            ..facts()
        };
        let plan = try_plan(SERVER, &everything(), &facts).unwrap();
        assert_eq!(plan, try_plan(SERVER, &everything(), &facts).unwrap());
        let mut keys: Vec<_> = plan.steps.iter().map(Step::key).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count, "{keys:?}");
    }
}

#[test]
fn no_secret_is_shown() {
    let facts = Facts {
        firewall: Firewall::Ufw(Vec::new()),
        ..facts()
    };
    let plan = try_plan(SERVER, &everything(), &facts).unwrap();
    let shown = shown(&plan);
    assert!(!shown.contains("hush"), "{shown}");
    assert!(
        shown.contains(PASSWORD) && shown.contains("(a secret)"),
        "{shown}"
    );
    // It is in the plan none the less, where the database learns it.
    assert!(plan.steps.iter().any(|step| matches!(step,
        Step::Command { run, .. } if run.input.contains("PASSWORD 'hush'"))));
    // What is written down for the removal has no secret in it.
    assert!(!plan.steps.iter().any(|step| matches!(step,
        Step::Command { undo: Some(undo), .. } if undo.input.contains("hush"))));
}

#[test]
fn with_the_embedded_store_the_nodes_may_write_to_their_data_and_else_to_nothing() {
    let plan = try_plan(EMBEDDED, &Options::default(), &facts()).unwrap();
    let node = text_of(&plan, "seawall-node@.service");
    assert!(
        node.contains("ReadWritePaths=/var/lib/seawall/data\n"),
        "{node}"
    );
    assert!(node.contains("WatchdogSec=3\n"), "{node}");
    let plan = try_plan(SERVER, &everything_but_statistics(), &facts()).unwrap();
    let node = text_of(&plan, "seawall-node@.service");
    assert!(node.contains("ReadWritePaths=\n"), "{node}");
    assert!(
        node.contains("Wants=network-online.target postgresql.service\n"),
        "{node}"
    );
    assert!(!node.contains("\nRequires="), "{node}");
}

fn everything_but_statistics() -> Options {
    Options {
        stats_from: None,
        ..everything()
    }
}

#[test]
fn nothing_is_left_of_a_template() {
    let facts = Facts {
        firewall: Firewall::Ufw(Vec::new()),
        ..facts()
    };
    let plan = try_plan(SERVER, &everything(), &facts).unwrap();
    for step in &plan.steps {
        if let Step::File {
            path,
            contents: Contents::Text(text),
            ..
        } = step
            && path.starts_with("/etc/systemd")
        {
            let left = text.split('@').nth(1).filter(|word| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
            });
            assert_eq!(left, None, "{}", path.display());
        }
    }
    assert!(text_of(&plan, "seawall-balancer.socket").contains("ListenStream=0.0.0.0:80\n"));
    assert!(
        text_of(&plan, "seawall-balancer-stats.socket").contains("ListenStream=0.0.0.0:8404\n")
    );
    assert!(
        text_of(&plan, "seawall-balancer-stats.socket")
            .contains("IPAddressDeny=any\nIPAddressAllow=localhost 192.0.2.0/24\n")
    );
}

#[test]
fn a_relative_data_folder_is_refused() {
    let error = try_plan("", &Options::default(), &facts()).unwrap_err();
    assert!(
        error.contains("data = \"/var/lib/seawall/data\""),
        "{error}"
    );
}

#[test]
fn statistics_are_opened_only_where_a_firewall_keeps_others_out() {
    let error = try_plan(SERVER, &everything(), &facts()).unwrap_err();
    assert!(error.contains("--stats-from needs a firewall"), "{error}");
    let facts = Facts {
        firewall: Firewall::Ufw(Vec::new()),
        ..facts()
    };
    let shown = shown(&try_plan(SERVER, &everything(), &facts).unwrap());
    for command in [
        "ufw allow 80/tcp comment seawall",
        "ufw allow from 192.0.2.0/24 to any port 8404 proto tcp comment seawall",
        "ufw deny 8404/tcp comment seawall",
    ] {
        assert!(shown.contains(command), "{shown}");
    }
}

#[test]
fn statistics_that_no_other_machine_reaches_are_not_opened() {
    for firewall in [Firewall::None, Firewall::Ufw(Vec::new())] {
        let facts = Facts {
            firewall,
            ..facts()
        };
        let options = Options {
            stats_from: everything().stats_from,
            ..Options::default()
        };
        let plan = try_plan(EMBEDDED, &options, &facts).unwrap();
        let shown = shown(&plan);
        assert!(!shown.contains("192.0.2.0"), "{shown}");
        let note = "stats = \"0.0.0.0:8404\" under [balancer]";
        assert!(
            plan.notes.iter().any(|is| is.contains(note)),
            "{:?}",
            plan.notes
        );
    }
}

#[test]
fn who_may_not_look_at_the_firewall_is_told() {
    let facts = Facts {
        firewall: Firewall::Unseen,
        ..facts()
    };
    let plan = try_plan(SERVER, &everything(), &facts).unwrap();
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("only root can look at the firewall"))
    );
}

#[test]
fn folders_that_services_do_not_see_are_refused() {
    for (text, hidden) in [
        ("data = \"/tmp/x\"\n", "/tmp"),
        (
            "data = \"/srv/x\"\n[nodes]\nwebapps = \"/home/me/www\"\n",
            "/home",
        ),
    ] {
        let error = try_plan(text, &Options::default(), &facts()).unwrap_err();
        assert!(
            error.contains(&format!("services see nothing of {hidden}")),
            "{error}"
        );
    }
}

#[test]
fn an_image_gets_files_only() {
    let facts = Facts {
        is_live: false,
        ..facts()
    };
    let options = Options {
        log_files: true,
        ..Options::default()
    };
    let plan = try_plan(EMBEDDED, &options, &facts).unwrap();
    let is_command = |step: &Step| {
        matches!(
            step,
            Step::Command { .. }
                | Step::Packages { .. }
                | Step::Nftables { .. }
                | Step::Service { .. }
        )
    };
    assert!(!plan.steps.iter().any(is_command), "{}", shown(&plan));
    assert!(plan.notes.iter().any(|note| note.contains("boots")));
}

#[test]
fn red_hats_packages_and_postgres_are_set_up_their_way() {
    let facts = Facts {
        distribution: Distribution::RedHat,
        firewall: Firewall::Firewalld,
        ..facts()
    };
    let shown = shown(&try_plan(SERVER, &everything(), &facts).unwrap());
    for part in [
        "packages  postgresql-server",
        "PGSETUP_INITDB_OPTIONS=--auth-host=scram-sha-256 postgresql-setup --initdb",
        "systemctl enable postgresql.service",
        "firewall-cmd --quiet --add-port=80/tcp",
        "firewall-cmd --quiet --permanent --add-port=80/tcp",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let facts = Facts {
        distribution: Distribution::Other,
        ..facts
    };
    assert!(
        try_plan(SERVER, &everything(), &facts)
            .unwrap_err()
            .contains("--store")
    );
}
