//! The ports in the firewall that is active: the public one for all, the statistics for a source.

use super::{
    args::Source,
    facts::Firewall,
    plan::{Inputs, Plan, UNITS, addresses},
    step::{Access, Call, Contents, Probe, Step},
};

pub(super) const RULES: &str = "/etc/seawall/firewall.nft";

/// What marks our rules among others.
pub(super) const MARK: &str = "seawall";

/// Adds what opens the ports.
pub(super) fn add(inputs: &Inputs<'_>, plan: &mut Plan) -> Result<(), String> {
    let [http, stats] = addresses(inputs.settings);
    let options = inputs.options;
    if !options.balancer {
        return Ok(());
    }
    if !inputs.facts.is_live && options.firewall {
        plan.notes.push(format!(
            "the firewall of that system is not touched; it has to let port {} in",
            http.port()
        ));
        return Ok(());
    }
    let firewall = match options.firewall {
        true => &inputs.facts.firewall,
        false => &Firewall::None,
    };
    if options.stats_from.is_some() && *firewall == Firewall::None {
        return Err(
            "--stats-from needs a firewall that keeps others out, and none of ufw, firewalld and \
             nftables is active here; start one, or reach the statistics by a tunnel (ssh -L)"
                .to_owned(),
        );
    }
    // A port of the loopback address needs no opening, and a rule for it would only mislead.
    let public = (!http.ip().is_loopback()).then_some(http.port());
    let stats = options.stats_from.map(|source| (stats.port(), source));
    plan.steps.extend(match firewall {
        Firewall::None => Vec::new(),
        Firewall::Ufw => ufw(public, stats),
        Firewall::Firewalld => firewalld(public, stats),
        Firewall::Nftables(chains) => nftables(chains, public, stats),
    });
    Ok(())
}

fn ufw(public: Option<u16>, stats: Option<(u16, Source)>) -> Vec<Step> {
    let rule = |does: String, rule: String| {
        let words: Vec<_> = rule.split(' ').collect();
        let run = [&["ufw"], words.as_slice(), &["comment", MARK]].concat();
        Step::Command {
            does,
            probe: Probe::Prints(
                Call::new(&["ufw", "show", "added"]),
                format!("ufw {rule} comment '{MARK}'"),
            ),
            run: Call::new(&run),
            undo: Some(Call::new(
                &[&["ufw", "--force", "delete"], words.as_slice()].concat(),
            )),
            data: false,
            secret: false,
        }
    };
    let public = public.map(|port| rule(format!("open port {port}"), format!("allow {port}/tcp")));
    // In this order: the first rule that fits counts.
    let stats = stats.into_iter().flat_map(|(port, source)| {
        [
            rule(
                format!("open port {port} to {source}"),
                format!("allow from {source} to any port {port} proto tcp"),
            ),
            rule(
                format!("close port {port} to others"),
                format!("deny {port}/tcp"),
            ),
        ]
    });
    public.into_iter().chain(stats).collect()
}

fn firewalld(public: Option<u16>, stats: Option<(u16, Source)>) -> Vec<Step> {
    let rule = |does: String, kind: &str, rule: String| {
        // Each change is made twice: for now, and for the next start of the firewall.
        let call = |verb: &str, permanent: &str| {
            format!("firewall-cmd --quiet {permanent} --{verb}-{kind}='{rule}'")
        };
        let both = |verb: &str, join: &str| {
            let script = [call(verb, ""), call(verb, "--permanent")].join(join);
            Call::new(&["sh", "-c", &script])
        };
        Step::Command {
            does,
            probe: Probe::Succeeds(both("query", " && ")),
            run: both("add", " && "),
            undo: Some(both("remove", "; ")),
            data: false,
            secret: false,
        }
    };
    let public = public.map(|port| {
        let does = format!("open port {port}");
        rule(does, "port", format!("{port}/tcp"))
    });
    let stats = stats.map(|(port, source)| {
        let family = match source.family() {
            "ip" => "ipv4",
            _ => "ipv6",
        };
        rule(
            format!("open port {port} to {source}"),
            "rich-rule",
            format!(
                "rule family=\"{family}\" source address=\"{source}\" port port=\"{port}\" \
                 protocol=\"tcp\" accept"
            ),
        )
    });
    public.into_iter().chain(stats).collect()
}

/// Nftables has no one place for what others open: a packet passes when every chain lets it. So our
/// rules go to the head of each chain that decides, at once and whenever nftables.service loads its
/// own; the operator's file stays as it is.
fn nftables(
    chains: &[[String; 3]],
    public: Option<u16>,
    stats: Option<(u16, Source)>,
) -> Vec<Step> {
    let rules = nftables_rules(chains, public, stats);
    let load = format!("-/usr/sbin/nft --file {RULES}");
    let drop_in = format!("[Service]\nExecStartPost={load}\nExecReload={load}\n");
    let file = |path: String, text: &str| Step::File {
        path: path.into(),
        access: Access::public(0o644),
        contents: Contents::Text(text.to_owned()),
        data: false,
    };
    vec![
        file(RULES.to_owned(), &rules),
        file(format!("{UNITS}/nftables.service.d/seawall.conf"), &drop_in),
        Step::Nftables {
            path: RULES.into(),
            rules,
        },
    ]
}

fn nftables_rules(
    chains: &[[String; 3]],
    public: Option<u16>,
    stats: Option<(u16, Source)>,
) -> String {
    let mut rules = String::from("# Seawall's ports. `seawall install` writes this file.\n");
    for [family, table, chain] in chains {
        let mut insert = |rule: String| {
            rules +=
                &format!("insert rule {family} {table} {chain} {rule} accept comment \"{MARK}\"\n");
        };
        if let Some(port) = public {
            insert(format!("tcp dport {port}"));
        }
        if let Some((port, source)) = stats
            && (family == "inet" || family == source.family())
        {
            insert(format!(
                "{} saddr {source} tcp dport {port}",
                source.family()
            ));
        }
    }
    if let Some((port, source)) = stats {
        // Whatever the other chains say of it.
        let family = source.family();
        rules += &format!(
            "table inet {MARK}\n\
             delete table inet {MARK}\n\
             table inet {MARK} {{\n    \
                 chain statistics {{\n        \
                     type filter hook input priority -10; policy accept;\n        \
                     iif \"lo\" accept\n        \
                     {family} saddr {source} accept\n        \
                     tcp dport {port} drop\n    \
                 }}\n\
             }}\n"
        );
    }
    rules
}
