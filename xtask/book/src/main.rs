//! Builds the book in `docs/` and checks its links.
//!
//! A package of its own, so that the other tasks need not build mdBook.
#![expect(
    clippy::print_stdout,
    reason = "a task tells the developer what it does"
)]

mod links;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use mdbook_driver::MDBook;

fn main() -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .canonicalize()?;
    let book = MDBook::load(&source).context("docs/book.toml")?;
    book.build()?;
    let built = book.build_dir_for("html").canonicalize()?;
    let checked = links::check(&built)?;
    let unlisted = links::unlisted(&source)?;
    ensure!(
        unlisted.is_empty(),
        "docs/SUMMARY.md does not list {}",
        unlisted.join(", ")
    );
    println!("target/book: {checked} links lead somewhere");
    Ok(())
}
