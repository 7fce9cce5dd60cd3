//! Everything below a folder: type, mode, owner and contents of each file.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

/// What is at each path, in a form that can be compared and read.
pub(crate) type Tree = BTreeMap<String, String>;

/// Looks at everything below `root`, but for the folders in `without`.
pub(crate) fn tree(root: &Path, without: &[&str]) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, without, &mut tree);
    tree
}

/// The paths that differ, with what they were and are.
pub(crate) fn differences(before: &Tree, after: &Tree) -> Vec<(String, String)> {
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let state = |tree: &Tree, path: &str| tree.get(path).cloned().unwrap_or("nothing".to_owned());
    paths
        .into_iter()
        .map(|path| (path, state(before, path), state(after, path)))
        .filter(|(_, before, after)| before != after)
        .map(|(path, before, after)| (path.clone(), format!("{before} → {after}")))
        .collect()
}

fn walk(root: &Path, folder: &Path, without: &[&str], tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        // Something that runs may remove it meanwhile.
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        let kind = found.file_type();
        let contents = if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_file() {
            contents(&path)
        } else if kind.is_dir() {
            "folder".to_owned()
        } else {
            format!(
                "special, fifo: {}, socket: {}",
                kind.is_fifo(),
                kind.is_socket()
            )
        };
        let access = format!("{:o} {}:{}", found.mode(), found.uid(), found.gid());
        tree.insert(name.clone(), format!("{access} {contents}"));
        if kind.is_dir() && !without.contains(&name.as_str()) {
            walk(root, &path, without, tree);
        }
    }
}

fn contents(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("file of {} bytes, {hash:016x}", bytes.len())
}
