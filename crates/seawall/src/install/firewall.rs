//! The ports in the firewall that is active: the public one for all, the statistics for a source.

use super::{
    args::Source,
    facts::Firewall,
    plan::{CONFIG, Inputs, Plan, UNITS, addresses},
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
    // A port of the loopback address needs no opening, and a rule for it would only mislead.
    let public = (!http.ip().is_loopback()).then_some(http.port());
    let source = options.stats_from.filter(|_| !stats.ip().is_loopback());
    if options.stats_from.is_some() && source.is_none() {
        plan.notes.push(format!(
            "the statistics listen on {stats}, where no other machine reaches them: for \
             --stats-from, write stats = \"0.0.0.0:{}\" under [balancer] in {CONFIG}, and install \
             again",
            stats.port()
        ));
    }
    if source.is_some() && *firewall == Firewall::None {
        return Err(
            "--stats-from needs a firewall that keeps others out, and none of ufw, firewalld and \
             nftables is active here; start one, or reach the statistics by a tunnel (ssh -L)"
                .to_owned(),
        );
    }
    let stats = source.map(|source| (stats.port(), source));
    let steps = match firewall {
        Firewall::None => Vec::new(),
        Firewall::Unseen => {
            plan.notes.push(
                "only root can look at the firewall: what is done with it is not shown".to_owned(),
            );
            Vec::new()
        }
        Firewall::Ufw(rules) => ufw(rules, public, stats, &mut plan.notes)?,
        Firewall::Firewalld => firewalld(public, stats),
        Firewall::Nftables(chains) => nftables(chains, public, stats),
    };
    plan.steps.extend(steps);
    Ok(())
}

fn ufw(
    rules: &[String],
    public: Option<u16>,
    stats: Option<(u16, Source)>,
    notes: &mut Vec<String>,
) -> Result<Vec<Step>, String> {
    let mut wanted = Vec::new();
    if let Some(port) = public {
        wanted.push((format!("open port {port}"), "allow", format!("{port}/tcp")));
    }
    // In this order: the first rule that fits counts.
    if let Some((port, source)) = stats {
        wanted.push((
            format!("open port {port} to {source}"),
            "allow",
            format!("from {source} to any port {port} proto tcp"),
        ));
        wanted.push((
            format!("close port {port} to others"),
            "deny",
            format!("{port}/tcp"),
        ));
    }
    let mut steps = Vec::new();
    for (does, verb, what) in wanted {
        match others_rule(rules, &what) {
            None => steps.push(ufw_rule(does, &format!("{verb} {what}"))),
            Some(theirs) if is_as_good(theirs, verb) => notes.push(format!(
                "ufw has the rule `{theirs}` already; it stays yours"
            )),
            Some(theirs) => {
                return Err(format!(
                    "ufw has the rule `{theirs}` already, where `{verb} {what}` is needed to \
                     {does}; take yours away (ufw delete {theirs}), or leave the firewall alone with \
                     --firewall=false"
                ));
            }
        }
    }
    Ok(steps)
}

/// Somebody else's rule for the same packets. To ufw it would be the same rule as ours, and it
/// would let ours take its place.
fn others_rule<'a>(rules: &'a [String], what: &str) -> Option<&'a str> {
    rules.iter().find_map(|line| {
        let rule = line.strip_prefix("ufw ")?;
        let (rule, comment) = rule.split_once(" comment ").unwrap_or((rule, ""));
        let (_, packets) = rule.split_once(' ')?;
        (packets == what && comment.trim_matches('\'') != MARK).then_some(rule)
    })
}

fn is_as_good(rule: &str, verb: &str) -> bool {
    let theirs = rule.split(' ').next().unwrap_or_default();
    match verb {
        "allow" => matches!(theirs, "allow" | "limit"),
        _ => matches!(theirs, "deny" | "reject"),
    }
}

fn ufw_rule(does: String, rule: &str) -> Step {
    let words: Vec<_> = rule.split(' ').collect();
    let run = [&["ufw"], words.as_slice(), &["comment", MARK]].concat();
    let added = format!("ufw {rule} comment '{MARK}'");
    let is_ours = Probe::Prints(Call::new(&["ufw", "show", "added"]), added.clone());
    // Only while it is ours: its operator may have made it his since.
    let undo = format!(
        "if ufw show added | grep --quiet --line-regexp --fixed-strings \"{added}\"; then ufw \
         --force delete {rule}; fi"
    );
    Step::Command {
        does,
        probe: is_ours.clone(),
        known_by: Some(is_ours),
        run: Call::new(&run),
        undo: Some(Call::new(&["sh", "-c", &undo])),
        data: false,
        secret: false,
    }
}

fn firewalld(public: Option<u16>, stats: Option<(u16, Source)>) -> Vec<Step> {
    let public = public.map(|port| {
        let does = format!("open port {port}");
        firewalld_rule(&does, "port", &format!("{port}/tcp"))
    });
    let stats = stats.map(|(port, source)| {
        let family = match source.family() {
            "ip" => "ipv4",
            _ => "ipv6",
        };
        firewalld_rule(
            &format!("open port {port} to {source}"),
            "rich-rule",
            &format!(
                "rule family=\"{family}\" source address=\"{source}\" port port=\"{port}\" \
                 protocol=\"tcp\" accept"
            ),
        )
    });
    public.into_iter().chain(stats).flatten().collect()
}

/// Each change is made twice: for now, and for the next start of the firewall. What its operator
/// has made of the two is not made again, nor taken back.
fn firewalld_rule(does: &str, kind: &str, rule: &str) -> [Step; 2] {
    [(None, ""), (Some("--permanent"), ", lastingly")].map(|(lasting, when)| {
        let call = |verb: &str| {
            let change = format!("--{verb}-{kind}={rule}");
            let words = ["firewall-cmd", "--quiet"].into_iter().chain(lasting);
            Call::new(&words.chain([change.as_str()]).collect::<Vec<_>>())
        };
        Step::Command {
            does: format!("{does}{when}"),
            probe: Probe::Succeeds(call("query")),
            known_by: None,
            run: call("add"),
            undo: Some(call("remove")),
            data: false,
            secret: false,
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(rules: &[&str]) -> Result<(usize, Vec<String>), String> {
        let rules: Vec<_> = rules.iter().map(|&rule| rule.to_owned()).collect();
        let source = "192.0.2.0/24".parse()?;
        let mut notes = Vec::new();
        let steps = ufw(&rules, Some(80), Some((8404, source)), &mut notes)?;
        Ok((steps.len(), notes))
    }

    #[test]
    fn a_rule_of_the_operators_stays_the_operators() {
        let ours = ["(as they were added)", "ufw allow 80/tcp comment 'seawall'"];
        assert_eq!(planned(&ours), Ok((3, Vec::new())));
        for theirs in [
            "ufw allow 80/tcp",
            "ufw limit 80/tcp",
            "ufw allow 80/tcp comment 'web'",
        ] {
            let (steps, notes) = planned(&[theirs]).unwrap();
            assert_eq!(steps, 2, "{theirs}");
            assert!(notes[0].contains("80/tcp` already"), "{notes:?}");
        }
    }

    #[test]
    fn a_rule_of_the_operators_that_contradicts_is_named() {
        for theirs in ["ufw deny 80/tcp", "ufw allow 8404/tcp"] {
            let error = planned(&[theirs]).unwrap_err();
            assert!(
                error.contains(&theirs.replace("ufw ", "ufw delete ")),
                "{error}"
            );
        }
    }
}
