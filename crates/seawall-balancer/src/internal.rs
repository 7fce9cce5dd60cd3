//! What is not for clients: the paths below `/.seawall/`, by which nodes are looked after.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

const FOLDER: &str = ".seawall";

/// Whether a path leads below `/.seawall`, for any server that a balancer may stand before: with
/// escapes, doubled slashes, dot segments, path parameters and letters of either case.
pub(crate) fn is_internal(path: &str) -> bool {
    // Most paths have neither a dot nor an escape.
    if !path.bytes().any(|byte| byte == b'.' || byte == b'%') {
        return false;
    }
    let path: Cow<'_, [u8]> = percent_decode_str(path).into();
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| [b'/', b'\\'].contains(byte)) {
        let name = segment.split(|byte| *byte == b';').next();
        match name.unwrap_or_default() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let first = segments.first();
    first.is_some_and(|name| name.eq_ignore_ascii_case(FOLDER.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_folder_is_found() {
        for path in [
            "/.seawall",
            "/.seawall/",
            "/.seawall/health",
            "//.seawall/drain",
            "/./.seawall/drain",
            "/shop/../.seawall/drain",
            "/shop/a/../../.seawall/drain",
            "/../.seawall/drain",
            "/%2eseawall/health",
            "/.%73eawall/health",
            "/shop/%2e%2e/.seawall/drain",
            "/shop%2f..%2f.seawall/drain",
            "/.SeaWall/health",
            "/.seawall;x=1/health",
            "/shop/..;x/.seawall/health",
            "/\\.seawall/health",
        ] {
            assert!(is_internal(path), "{path}");
        }
    }

    #[test]
    fn other_paths_are_for_clients() {
        for path in [
            "/",
            "*",
            "",
            "/session-test/",
            "/logo.png",
            "/.seawalls/x",
            "/.well-known/x",
            "/shop/.seawall/x",
            "/.seawall/../shop/logo.png",
            "/100%25",
            "/%ff%fe",
        ] {
            assert!(!is_internal(path), "{path}");
        }
    }
}
