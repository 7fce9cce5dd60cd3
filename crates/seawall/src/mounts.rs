//! What is mounted where.
//!
//! Source: `/proc/self/mountinfo`, proc_pid_mountinfo(5).

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

const TABLE: &str = "/proc/self/mountinfo";

struct Mount {
    place: PathBuf,
    kind: String,
}

/// What is mounted at a folder or below it, if anything is.
pub(crate) fn below(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let table = fs::read(TABLE).ok()?;
    let mut places = read(&table).map(|mount| mount.place);
    places.find(|place| place.starts_with(&folder))
}

/// The kind of the file system that a file is on.
pub(crate) fn file_system(file: &Path) -> Option<String> {
    let file = file.canonicalize().ok()?;
    file_system_in(&fs::read(TABLE).ok()?, &file)
}

/// Of the one that is mounted deepest, and last.
fn file_system_in(table: &[u8], file: &Path) -> Option<String> {
    let mounts = read(table).filter(|mount| file.starts_with(&mount.place));
    let deepest = mounts.max_by_key(|mount| mount.place.components().count());
    deepest.map(|mount| mount.kind)
}

fn read(table: &[u8]) -> impl Iterator<Item = Mount> {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let place = PathBuf::from(OsString::from_vec(unescape(words.nth(4)?)));
        // How many fields there are between is not known; a hyphen ends them.
        words.find(|word| word == b"-")?;
        let kind = String::from_utf8_lossy(words.next()?).into_owned();
        Some(Mount { place, kind })
    })
}

/// What would end a word stands in the table as three octal digits behind a backslash.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, others @ ..] = rest {
        match others.get(..3).filter(|_| *first == b'\\').and_then(octal) {
            Some(byte) => {
                plain.push(byte);
                rest = &others[3..];
            }
            None => {
                plain.push(*first);
                rest = others;
            }
        }
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_below_a_folder_is_found() {
        assert!(below(Path::new("/proc")).is_some());
        assert!(below(Path::new("/")).is_some());
        assert_eq!(below(Path::new("/proc/self/fd")), None);
        assert_eq!(below(Path::new("/no/such/folder")), None);
    }

    #[test]
    fn the_deepest_mount_counts_and_of_two_the_last() {
        let table = b"1 1 0:1 / / rw - ext4 /dev/sda rw\n\
                      2 1 0:2 / /srv/my\\040data rw shared:1 - tmpfs tmpfs rw\n\
                      3 1 0:3 / /srv/my\\040data rw - nfs4 server:/x rw\n\
                      garbage\n";
        let of = |file: &str| file_system_in(table, Path::new(file)).unwrap();
        assert_eq!(of("/srv/sessions.db"), "ext4");
        assert_eq!(of("/srv/my data/sessions.db"), "nfs4");
        assert_eq!(file_system(Path::new("/proc/self/status")).unwrap(), "proc");
    }

    #[test]
    fn odd_names_are_read() {
        let read = |word: &str| String::from_utf8(unescape(word.as_bytes())).unwrap();
        assert_eq!(read("/a\\040b\\011c\\134d"), "/a b\tc\\d");
        assert_eq!(read("/ends\\04"), "/ends\\04");
        assert_eq!(read("/no\\999"), "/no\\999");
    }
}
