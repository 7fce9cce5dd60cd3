//! What a file may say, and what is said about a file that is wrong.

use super::*;

fn parse(text: &str) -> Result<Settings, ConfigError> {
    let path = Path::new("seawall.toml");
    Settings::from_raw(path, Raw::parse(path, text)?, None)
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_embedded_defaults_are_those_of_the_libraries() {
    let settings = parse("").unwrap();
    let library = SessionSettings::default();
    assert_eq!(settings.session.idle_timeout, library.idle_timeout);
    assert_eq!(settings.session.sticky_trust, library.sticky_trust);
    assert_eq!(settings.session.cache_capacity, library.cache_capacity);
    assert_eq!(settings.session.cache_bytes, library.cache_bytes);
    assert_eq!(settings.session.on_outage, library.on_outage);
    assert_eq!(settings.session.limits, library.limits);
    assert_eq!(settings.store_options.limits, ServerLimits::default());
    assert_eq!(
        settings.batcher.queue_limit,
        BatcherSettings::default().queue_limit
    );
    assert_eq!(settings.session.renewal_timeout, library.renewal_timeout);
    assert_eq!(settings.session.renewal_grace, library.renewal_grace);
    assert_eq!(settings.trusted_proxies, TrustedProxies::default());
    assert_eq!(
        settings.batcher.patience,
        BatcherSettings::default().patience
    );
    assert_eq!((settings.node_count, settings.node_port), (2, 8080));
    assert_eq!(settings.nodes, Nodes::on_this_machine(2, 8080).unwrap());
    assert_eq!(
        settings.store.to_string(),
        "sqlite:seawall-data/sessions.db"
    );
}

#[test]
fn a_file_needs_only_what_differs() {
    let settings = parse("[session]\nidle_timeout = \"4h\"\n[nodes]\ncount = 5").unwrap();
    assert_eq!(
        settings.session.idle_timeout,
        Some(Duration::from_secs(4 * 3_600))
    );
    assert_eq!(settings.nodes, Nodes::on_this_machine(5, 8080).unwrap());
    for never in ["\"none\"", "0", "\"0s\""] {
        let immortal = parse(&format!("[session]\nidle_timeout = {never}")).unwrap();
        assert_eq!(immortal.session.idle_timeout, None, "{never}");
    }
}

#[test]
fn unknown_keys_are_named_with_their_place_and_a_guess() {
    let text = error("[nodes]\ncout = 5\n");
    assert!(text.starts_with("seawall.toml:2:1: "), "{text}");
    assert!(text.contains("did you mean `count`"), "{text}");
    let text = error("[sessions]\n");
    assert!(text.contains("did you mean `session`"), "{text}");
}

#[test]
fn wrong_values_say_where_and_what_to_write() {
    let text = error("[session]\n\nidle_timeout = \"half an hour\"\n");
    assert!(
        text.starts_with("seawall.toml:3:16: ") && text.contains("30m"),
        "{text}"
    );
    let text = error("[session]\nconsistency = \"eventual\"\n");
    assert!(text.contains("2:15") && text.contains("strict"), "{text}");
    let text = error("[store]\non_outage = \"serve\"");
    assert!(text.contains("serve-cached"), "{text}");
    for limit in ["0", "9223372036854775807"] {
        let text = error(&format!("[store]\nqueue_limit = {limit}"));
        assert!(text.contains("store.queue_limit"), "{text}");
    }
    for (key, value) in [
        ("path", "\"up\""),
        ("expect", "[]"),
        ("rise", "0"),
        ("fall", "0"),
    ] {
        let text = error(&format!("[balancer.check]\n{key} = {value}"));
        assert!(text.contains(&format!("balancer.check.{key}: ")), "{text}");
    }
    let text = error("[balancer]\nhttp = \"localhost:80\"");
    assert!(
        text.contains(":2:8: ") && text.contains("write IP:PORT"),
        "{text}"
    );
    assert!(error("[nodes]\nport = 65535").contains("nodes.port"));
    assert!(error("[nodes]\ncount = 65").contains("64"));
    let text = error("[nodes]\nport = 0");
    assert!(
        text.contains("nodes.port") && text.contains("port 0"),
        "{text}"
    );
    assert!(error("[session.cookie]\nname = \"a b\"").contains("cookie name"));
    assert!(error("[session.cookie]\nsame_site = \"none\"").contains("secure"));
    assert!(error("[session.cookie]\ndomain = \"a b\"").contains("cookie domain"));
    assert!(error("[store]\nurl = \"oracle://u:hush@h\"").contains("store.url"));
    assert!(!error("[store]\nurl = \"oracle://u:hush@h\"").contains("hush"));
    assert!(
        error("[nodes\n").starts_with("seawall.toml:1:"),
        "{}",
        error("[nodes\n")
    );
}

#[test]
fn durations_that_cannot_be_used_are_explained() {
    for (key, or) in [
        ("store.patience", ""),
        ("session.idle_timeout", ", or \"none\""),
        ("session.touch_interval", ", or \"auto\""),
    ] {
        let text = error(&format!("{key} = 5"));
        let place = format!("seawall.toml:1:{}: ", key.len() + 4);
        assert!(text.starts_with(&place), "{text}");
        assert!(text.contains("write \"5s\""), "{text}");
        let text = error(&format!("{key} = true"));
        assert!(text.ends_with(&format!("for example \"5s\"{or}")), "{text}");
        let text = error(&format!("{key} = \"400000d\""));
        assert!(text.contains("too long"), "{text}");
    }
    for zero in ["0", "\"0s\""] {
        let text = error(&format!("store.patience = {zero}"));
        assert!(text.contains("too short"), "{text}");
    }
}

const LIST: &str = r#"
[[node]]
name = "node1"
address = "192.0.2.11:8080"
[[node]]
name = "node2"
address = "192.0.2.12:8080"
listen = "0.0.0.0:8080"
weight = 3
"#;

#[test]
fn nodes_of_several_machines_are_listed_and_found() {
    let nodes = parse(LIST).unwrap().nodes;
    assert_eq!(nodes.len(), 2);
    assert_eq!(&*nodes.elsewhere().unwrap().name, "node1");
    let node = nodes.find("node2").unwrap();
    assert_eq!(
        (node.listen.to_string().as_str(), node.weight),
        ("0.0.0.0:8080", 3)
    );
    let servers = nodes.servers();
    assert_eq!(servers[1].address.to_string(), "192.0.2.12:8080");
    let unknown = nodes.find("node3").unwrap_err();
    assert!(unknown.contains("node1, node2"), "{unknown}");
}

#[test]
fn a_list_of_nodes_that_contradicts_itself_is_refused() {
    let twice = |from: &str, to: &str| error(&LIST.replace(from, to));
    assert!(twice("node2", "node1").contains("names are unique"));
    assert!(twice("192.0.2.12", "192.0.2.11").contains("has the address 192.0.2.11:8080"));
    assert!(twice("weight = 3", "weight = 300").contains("0 to 256"));
    for place in ["192.0.2.12", "0.0.0.0"] {
        let text = twice(&format!("{place}:8080"), &format!("{place}:0"));
        assert!(text.contains("node2: port 0"), "{text}");
    }
    assert!(twice("node2", "a/b").contains("seawall.toml:6:8: "));
    assert!(twice("192.0.2.12:", "db:").contains("seawall.toml:7:11: "));
    assert!(twice("weight = 3", "wight = 3").contains("did you mean `weight`"));
    assert!(twice("name = \"node2\"\n", "").contains("missing field `name`"));
}

#[test]
fn sizes_are_bytes_or_none() {
    let codec = |text: &str| format!("{:?}", parse(text).unwrap().store_options.codec);
    assert!(codec("").contains("compress_above: None"));
    let some = codec("[session]\ncompress_above = 1024");
    assert!(some.contains("compress_above: Some(1024)"), "{some}");
    for wrong in ["\"1KiB\"", "-1", "true"] {
        let text = error(&format!("[session]\ncompress_above = {wrong}"));
        assert!(
            text.contains("2:18") && text.contains("for example 1024"),
            "{text}"
        );
    }
}

#[test]
fn session_keys_come_from_a_file_or_the_environment_and_are_not_shown() {
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    fs::write(&file, format!("# ours\n2026-05:{key}\n")).unwrap();
    let section = |active: &str| {
        let file = file.display();
        format!("[session.encryption]\nkeys_file = \"{file}\"\nactive_key = \"{active}\"\n")
    };
    let shown = format!("{:?}", parse(&section("2026-05")).unwrap());
    assert!(
        shown.contains("Some(\"2026-05\")") && !shown.contains(&key[..8]),
        "{shown}"
    );
    let shown = format!("{:?}", parse(&section("")).unwrap().store_options.codec);
    assert!(shown.contains("active: None"), "{shown}");
    let text = error(&section("2026-11"));
    assert!(
        text.contains("session.encryption.active_key") && text.contains("there is 2026-05"),
        "{text}"
    );
    let path = Path::new("seawall.toml");
    let raw = Raw::parse(path, &section("env")).unwrap();
    let keys = KeyRing::parse(&format!("env:{key}")).unwrap();
    let settings = Settings::from_raw(path, raw, Some(keys)).unwrap();
    let shown = format!("{:?}", settings.store_options.codec);
    assert!(
        shown.contains("ids: [\"env\"]"),
        "the environment comes first: {shown}"
    );
    fs::write(&file, format!("2026-05={key}")).unwrap();
    let text = error(&section("2026-05"));
    assert!(
        text.contains("keys_file") && text.contains("entry 1") && !text.contains(&key[..8]),
        "{text}"
    );
    fs::remove_file(&file).unwrap();
    assert!(
        error(&section("")).contains("keys: "),
        "{}",
        error(&section(""))
    );
}

#[test]
fn hosts_and_proxies_are_checked() {
    let text = error("[session]\nvirtual_hosts = [\"Shop.example:80\"]\n");
    assert!(
        text.contains("session.virtual_hosts") && text.contains("Shop.example:80"),
        "{text}"
    );
    let text = error("[nodes]\ntrusted_proxies = [\"10.0.0.0/40\"]\n");
    assert!(
        text.contains("nodes.trusted_proxies") && text.contains("10.0.0.0/8"),
        "{text}"
    );
    let text = error("[session]\nrenewal_timeout = 5\n");
    assert!(text.contains("no duration"), "{text}");
}
