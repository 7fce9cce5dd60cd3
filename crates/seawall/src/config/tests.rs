//! What a file may say, and what is said about a file that is wrong.

use super::*;

fn parse(text: &str) -> Result<Settings, ConfigError> {
    let path = Path::new("seawall.toml");
    Settings::from_raw(path, Raw::parse(path, text)?)
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
    assert_eq!(settings.session.limits, library.limits);
    assert_eq!(
        settings.batcher.patience,
        BatcherSettings::default().patience
    );
    assert_eq!((settings.nodes, settings.node_port), (2, 8080));
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
    assert_eq!(settings.nodes, 5);
    assert_eq!(settings.node_port, 8080);
    let immortal = parse("[session]\nidle_timeout = \"none\"").unwrap();
    assert_eq!(immortal.session.idle_timeout, None);
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
    assert!(error("[nodes]\ncount = 0").contains("nodes.count"));
    assert!(error("[nodes]\nport = 65535").contains("nodes.port"));
    assert!(error("[session.cookie]\nname = \"a b\"").contains("cookie name"));
    assert!(error("[store]\nurl = \"oracle://u:hush@h\"").contains("store.url"));
    assert!(!error("[store]\nurl = \"oracle://u:hush@h\"").contains("hush"));
    assert!(
        error("[nodes\n").starts_with("seawall.toml:1:"),
        "{}",
        error("[nodes\n")
    );
}
