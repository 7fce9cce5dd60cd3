//! The few questions that matter, for somebody at a terminal.

use std::io::{self, BufRead, IsTerminal};

use super::{InstallError, args::InstallArgs};
use crate::cli::say;

/// The options, with the answers for what was left open. `is_decided`: there is a configuration.
pub(super) fn answers(args: &InstallArgs, is_decided: bool) -> Result<InstallArgs, InstallError> {
    if args.yes || args.dry_run || is_decided {
        return Ok(args.clone());
    }
    check_terminal()?;
    ask_all(args, &mut io::stdin().lock())
}

/// Asks whether to go on; `default` is what no more than Enter means.
pub(super) fn confirm(question: &str, default: bool) -> Result<bool, InstallError> {
    check_terminal()?;
    confirmed(&mut io::stdin().lock(), question, default)
}

fn confirmed(
    input: &mut impl BufRead,
    question: &str,
    default: bool,
) -> Result<bool, InstallError> {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    let answer = line(input, &format!("{question} {choice}"))?;
    Ok(match answer.to_lowercase().as_str() {
        "" => default,
        answer => matches!(answer, "y" | "yes"),
    })
}

fn check_terminal() -> Result<(), InstallError> {
    match io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(InstallError::NoTerminal),
    }
}

fn ask_all(args: &InstallArgs, input: &mut impl BufRead) -> Result<InstallArgs, InstallError> {
    let mut args = args.clone();
    if args.nodes.is_none() {
        args.nodes = ask(input, "How many nodes? [2]")?;
    }
    if args.http.is_none() {
        args.http = ask(input, "Where do clients connect? [0.0.0.0:80]")?;
    }
    if args.store.is_none() && !args.postgres {
        let question = "Where do sessions live? Empty: in a file of this machine; postgres: in a \
                        PostgreSQL installed here; or the URL of a store. []";
        match line(input, question)?.as_str() {
            "" => {}
            "postgres" => args.postgres = true,
            url => args.store = Some(url.to_owned()),
        }
    }
    if args.stats_from.is_none() {
        args.stats_from = ask(
            input,
            "Who else than this machine may see the statistics? An address, a network, or empty \
             for nobody. []",
        )?;
    }
    Ok(args)
}

/// Asks until the answer can be used; none is the default.
fn ask<T: std::str::FromStr<Err: std::fmt::Display>>(
    input: &mut impl BufRead,
    question: &str,
) -> Result<Option<T>, InstallError> {
    loop {
        let answer = line(input, question)?;
        if answer.is_empty() {
            return Ok(None);
        }
        match answer.parse() {
            Ok(value) => return Ok(Some(value)),
            Err(error) => say(&format!("{answer:?}: {error}")),
        }
    }
}

fn line(input: &mut impl BufRead, question: &str) -> Result<String, InstallError> {
    say(question);
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(1..) => Ok(line.trim().to_owned()),
        // The end of the input is no answer.
        Ok(0) => Err(InstallError::NoAnswer),
        Err(source) => Err(InstallError::File {
            path: "/dev/stdin".into(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{super::args::StatsFrom, *};

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: InstallArgs,
    }

    fn answered(words: &[&str], answers: &str) -> Result<InstallArgs, InstallError> {
        let args = Program::parse_from([&["install"], words].concat()).args;
        ask_all(&args, &mut answers.as_bytes())
    }

    #[test]
    fn empty_answers_are_the_defaults() {
        let args = answered(&[], "\n\n\n\n").unwrap();
        assert_eq!((args.nodes, args.http, args.store), (None, None, None));
        assert!(!args.postgres && args.stats_from.is_none());
    }

    #[test]
    fn a_wrong_answer_is_asked_again_and_what_was_given_is_not_asked() {
        let args = answered(
            &["--http", "192.0.2.1:8000"],
            "many\n3\npostgres\n192.0.2.0/24\n",
        )
        .unwrap();
        assert_eq!(args.nodes, Some(3));
        assert_eq!(args.http.unwrap().port(), 8000);
        assert!(args.postgres);
        let source = "192.0.2.0/24".parse().unwrap();
        assert_eq!(args.stats_from, Some(StatsFrom::Source(source)));
    }

    #[test]
    fn an_end_of_input_is_no_yes() {
        assert!(matches!(answered(&[], "2\n"), Err(InstallError::NoAnswer)));
    }

    #[test]
    fn enter_removes_no_data() {
        let confirmed =
            |answer: &str, default| confirmed(&mut answer.as_bytes(), "Go on?", default).unwrap();
        assert!(confirmed("\n", true) && confirmed("Yes\n", false));
        assert!(!confirmed("\n", false) && !confirmed("n\n", true));
    }
}
