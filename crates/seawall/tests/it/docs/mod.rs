//! The documentation does what it says: each command in it is run as it stands there, or at least
//! exists. What a page says of a bare Debian is run by [`crate::install`].

mod inline;
mod local;
pub(crate) mod page;

use page::{Page, Setting};

#[test]
fn every_block_of_commands_says_how_it_is_run() {
    let pages = Page::all();
    let found: Vec<_> = pages.iter().map(Page::blocks).collect();
    let errors: Vec<_> = found
        .iter()
        .filter_map(|blocks| blocks.as_ref().err())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let blocks: Vec<_> = found.into_iter().flatten().flatten().collect();
    let run = blocks
        .iter()
        .filter(|block| block.test.setting != Setting::None);
    assert!(run.count() > blocks.len() / 2, "most commands are run");
}
