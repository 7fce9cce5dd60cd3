//! `install` and `uninstall`: into another root, into a machine that boots, and what each of the
//! files is worth to the programs that read it.

mod checks;
mod choices;
mod firewalls;
mod image;
mod machine;
mod neighbours;
mod nspawn;
mod pages;
mod recovery;
mod removal;
mod service;
mod strangers;
mod tree;

/// Whether this may install; tests that need it say why they do nothing otherwise.
#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
pub(crate) fn is_root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("not run: it needs root");
    }
    root
}
