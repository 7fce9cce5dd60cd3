//! A page of the documentation: its commands, and where each of them is to be run.
//!
//! A comment before a block of shell commands says how the tests run it; readers do not see it.
//!
//! | comment | the block runs |
//! | --- | --- |
//! | `<!-- test: local -->` | in a folder with a cluster that `seawall up` has started there |
//! | `<!-- test: local, stays -->` | the same, without a cluster, until the next one: it serves on |
//! | `<!-- test: local, stays, nodes -->` | the same, with two nodes and no balancer |
//! | `<!-- test: machine -->` | on the Debian that the blocks before it have made |
//! | `<!-- test: machine, bare -->` | on a Debian where nothing is installed |
//! | `<!-- test: installation -->` | first on the Debian whose installation is then examined |
//! | `<!-- test: machine, terminal -->` | at a terminal, where each question is answered with Enter |
//! | `<!-- test: …, exit 1 -->` | with that exit code instead of 0 |
//! | `<!-- test: …, says TEXT -->` | and prints this text |
//! | `<!-- test: none: REASON -->` | not at all |

use std::{fs, path::Path, process::Output};

/// Whose commands are other people's, or are checked elsewhere.
const OTHERS: [&str; 2] = ["docs/SUMMARY.md", "docs/troubleshooting.md"];

/// Pages of which no block is run, and why.
const NOT_RUN: [(&str, &str); 1] = [(
    "docs/benchmarks.md",
    "a benchmark takes a quarter of an hour and a machine of its own",
)];

/// Other names of a shell block, by which one would go unseen.
const ALIASES: [&str; 5] = ["bash", "console", "shell", "shell-session", "shellscript"];

/// What is run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Page and line, for messages.
    pub(crate) place: String,
    pub(crate) text: String,
    pub(crate) test: Test,
}

/// How it is run, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) setting: Setting,
    exit_code: i32,
    says: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Local(Local),
    Machine { bare: bool, terminal: bool },
    Installation,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    BesideCluster,
    Stays { nodes: bool },
}

/// A page, by its path in the repository.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = fs::read_to_string(root.join(name));
        Self {
            name: name.to_owned(),
            text: text.unwrap_or_else(|error| panic!("{name}: {error}")),
        }
    }

    /// The README and the pages that are written by hand.
    pub(crate) fn all() -> Vec<Self> {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let mut names = vec!["README.md".to_owned()];
        for entry in fs::read_dir(docs).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                names.push(format!("docs/{name}"));
            }
        }
        names.retain(|name| !OTHERS.contains(&name.as_str()));
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    /// All blocks of shell commands, or what is wrong with them.
    pub(crate) fn blocks(&self) -> Result<Vec<Block>, String> {
        let mut blocks = Vec::new();
        let mut mark = None;
        let mut lines = (1..).zip(self.text.lines());
        while let Some((number, line)) = lines.next() {
            let place = format!("{}:{number}", self.name);
            let before = mark.take();
            if let Some(comment) = line.strip_prefix("<!-- test: ") {
                mark = Some(comment.strip_suffix(" -->").unwrap_or(comment));
            } else if let Some(language) = line.strip_prefix("```") {
                let inner = lines.by_ref().map(|(_, line)| line);
                let text: Vec<_> = inner.take_while(|line| *line != "```").collect();
                if ALIASES.contains(&language) {
                    return Err(format!("{place}: call the block sh, not {language}"));
                }
                if language == "sh" {
                    blocks.push(self.block(place, &text.join("\n"), before)?);
                    continue;
                }
            }
            if before.is_some() {
                return Err(format!(
                    "{place}: a test is meant for the block that follows"
                ));
            }
        }
        mark.map_or(Ok(blocks), |mark| {
            Err(format!("{}: no block after test: {mark}", self.name))
        })
    }

    fn block(&self, place: String, text: &str, mark: Option<&str>) -> Result<Block, String> {
        let is_not_run = NOT_RUN.iter().any(|(page, _)| *page == self.name);
        let test = match mark {
            None if is_not_run => Test::not_run(),
            None => return Err(format!("{place}: say how it is run: <!-- test: … -->")),
            Some(mark) => Test::parse(mark).ok_or(format!("{place}: no such test: {mark}"))?,
        };
        Ok(Block {
            place,
            text: text.to_owned(),
            test,
        })
    }

    /// The commands in the text, between backticks.
    pub(crate) fn inline_commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        for paragraph in self.text.split("\n\n").filter(|part| !part.contains("```")) {
            // Every second part is between backticks.
            let spans = paragraph.split('`').skip(1).step_by(2);
            let words = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
            commands.extend(words.filter(|words| words.contains("seawall ")));
        }
        commands
    }
}

impl Block {
    /// Fails when what was run is not what the page says.
    pub(crate) fn check(&self, output: &Output, log: impl FnOnce() -> String) {
        let Test {
            exit_code, says, ..
        } = &self.test;
        let said = [&*output.stdout, &*output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            output.status.code() == Some(*exit_code) && said.contains(says),
            "{}: {}, expected {exit_code} and {says:?}\n{}\n{said}\n{}",
            self.place,
            output.status,
            self.text,
            log()
        );
    }
}

impl Test {
    fn not_run() -> Self {
        Self {
            setting: Setting::None,
            exit_code: 0,
            says: String::new(),
        }
    }

    /// What a comment says.
    fn parse(mark: &str) -> Option<Self> {
        if let Some(reason) = mark.strip_prefix("none: ") {
            return (!reason.is_empty()).then(Self::not_run);
        }
        let (mark, says) = mark.split_once(", says ").unwrap_or((mark, ""));
        let (mark, exit_code) = mark.split_once(", exit ").unwrap_or((mark, "0"));
        let machine = |bare, terminal| Setting::Machine { bare, terminal };
        let setting = match mark {
            "installation" => Setting::Installation,
            "local" => Setting::Local(Local::BesideCluster),
            "local, stays" => Setting::Local(Local::Stays { nodes: false }),
            "local, stays, nodes" => Setting::Local(Local::Stays { nodes: true }),
            "machine" => machine(false, false),
            "machine, bare" => machine(true, false),
            "machine, terminal" => machine(false, true),
            "machine, bare, terminal" => machine(true, true),
            _ => return None,
        };
        Some(Self {
            setting,
            exit_code: exit_code.parse().ok()?,
            says: says.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> Result<Vec<Block>, String> {
        let page = Page {
            name: "page.md".to_owned(),
            text: text.to_owned(),
        };
        page.blocks()
    }

    #[test]
    fn a_block_is_run_where_the_comment_says() {
        let text = "Text.\n\n<!-- test: machine, bare, exit 1, says no, not -->\n```sh\na\nb\n```\n\n```toml\nc\n```\n";
        let block = Block {
            place: "page.md:4".to_owned(),
            text: "a\nb".to_owned(),
            test: Test {
                setting: Setting::Machine {
                    bare: true,
                    terminal: false,
                },
                exit_code: 1,
                says: "no, not".to_owned(),
            },
        };
        assert_eq!(blocks(text), Ok(vec![block]));
    }

    #[test]
    fn what_is_not_run_is_not_overlooked() {
        for (text, error) in [
            ("```sh\na\n```\n", "page.md:1: say how it is run"),
            ("```bash\na\n```\n", "call the block sh"),
            ("<!-- test: moon -->\n```sh\na\n```\n", "no such test: moon"),
            ("<!-- test: none:  -->\n```sh\na\n```\n", "no such test"),
            (
                "<!-- test: local -->\n\n```sh\na\n```\n",
                "page.md:2: a test",
            ),
            (
                "<!-- test: local -->\n```toml\na\n```\n",
                "page.md:2: a test",
            ),
            ("<!-- test: local -->", "no block after test: local"),
        ] {
            let found = blocks(text).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
    }
}
