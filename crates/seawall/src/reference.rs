//! What is made from the command line's own definition: completions, man pages, the reference.

use std::{fs, io, path::Path};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;
use clap_markdown::MarkdownOptions;

use crate::{doctor, output::print};

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder that gets the pages: seawall.1, seawall-up.1, …
    #[arg(value_name = "DIR")]
    folder: std::path::PathBuf,
}

/// What the hidden command `reference` prints.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    #[arg(value_enum)]
    what: Reference,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reference {
    CommandLine,
    Troubleshooting,
}

/// Prints a script that completes the command line.
pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), String> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "seawall", &mut script);
    let script = String::from_utf8(script).map_err(|error| error.to_string())?;
    print(&script);
    Ok(())
}

/// Writes the man pages.
pub(crate) fn man(args: &ManArgs, command: Command) -> Result<(), String> {
    write_pages(&args.folder, command).map_err(|error| {
        format!(
            "{}: {error}; name a folder that can be written",
            args.folder.display()
        )
    })
}

fn write_pages(folder: &Path, command: Command) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}

/// A page of the documentation that is made from the program, in Markdown.
pub(crate) fn reference(args: &ReferenceArgs, command: &Command) -> String {
    match args.what {
        Reference::CommandLine => command_line(command),
        Reference::Troubleshooting => doctor::guide(),
    }
}

fn command_line(command: &Command) -> String {
    let options = MarkdownOptions::new()
        .title("Command line".to_owned())
        .show_footer(false);
    clap_markdown::help_markdown_command_custom(command, &options)
}
