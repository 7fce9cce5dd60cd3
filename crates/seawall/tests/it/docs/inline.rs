//! Commands within sentences: there are such commands, and they have such options.

use std::collections::BTreeMap;

use super::page::Page;
use crate::cluster::seawall;

#[test]
fn commands_within_the_text_exist_with_their_options() {
    let mut helps = BTreeMap::new();
    let mut checked = 0;
    for page in Page::all() {
        for command in page.inline_commands() {
            let problem = problem(&command, &mut helps);
            assert_eq!(problem, None, "{}: `{command}`", page.name);
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

/// What is wrong with a command. Helps are asked for once.
fn problem(command: &str, helps: &mut BTreeMap<Vec<String>, Option<String>>) -> Option<String> {
    let (_, call) = command.split_once("seawall ")?;
    let words: Vec<_> = call.split(' ').map(str::to_owned).collect();
    let length = if words[0] == "sessions" { 2 } else { 1 };
    let subcommand = words[..length.min(words.len())].to_vec();
    let Some(help) = helps
        .entry(subcommand.clone())
        .or_insert_with(|| help(&subcommand))
    else {
        return Some(format!("there is no {subcommand:?}"));
    };
    let known: Vec<_> = help
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .collect();
    let options = words.iter().filter(|word| word.starts_with('-'));
    let mut names = options.filter_map(|option| option.split('=').next());
    names
        .find(|name| !known.contains(name))
        .map(|name| format!("there is no option {name}"))
}

/// What a subcommand says of itself, if there is one.
fn help(subcommand: &[String]) -> Option<String> {
    let output = seawall().args(subcommand).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then_some(text)
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let mut helps = BTreeMap::new();
    for (command, error) in [
        ("seawall upp", "there is no [\"upp\"]"),
        ("sudo seawall install --postgers", "--postgers"),
        ("seawall sessions lst", "lst"),
    ] {
        let found = problem(command, &mut helps);
        assert!(
            found.is_some_and(|found| found.contains(error)),
            "{command}"
        );
    }
    for command in [
        "seawall drain node1 --wait",
        "./seawall install -y --root=DIR",
    ] {
        assert_eq!(problem(command, &mut helps), None);
    }
}
