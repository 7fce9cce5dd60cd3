//! What a session-test page says.

/// The text that follows `label` in the page's text, up to the next element, without tags.
pub(crate) fn value<'a>(html: &'a str, label: &str) -> Option<&'a str> {
    let mut rest = &html[html.find(label)? + label.len()..];
    loop {
        rest = rest.trim_start();
        if !rest.starts_with('<') {
            break;
        }
        rest = &rest[rest.find('>')? + 1..];
    }
    let end = rest.find('<').unwrap_or(rest.len());
    Some(rest[..end].trim_end())
}

/// The visit count that the page shows.
pub(crate) fn visit_count(html: &str) -> Option<u64> {
    value(html, "Visit Count:")?.parse().ok()
}

/// The node that made the page: the first word after `Server:`, with the port, so that nodes of
/// one machine differ.
pub(crate) fn node(html: &str) -> Option<String> {
    let server = value(html, "Server:")?.split_whitespace().next()?;
    let port = value(html, "Port:").unwrap_or_default();
    Some(format!("{server}:{port}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_of_any_make_are_read() {
        for html in [
            "<li>Visit Count: 42</li>",
            "<li><b>Visit Count:</b> 42</li>",
            "<p><strong>Visit Count:</strong>\n  <span>42</span></p>",
            "<tr><td>Visit Count:</td><td>42</td></tr>",
            "Visit Count:42",
        ] {
            assert_eq!(visit_count(html), Some(42), "{html}");
        }
        for html in [
            "",
            "Visit Count:",
            "Visit Count: many",
            "Visit Count: <b",
            "42",
        ] {
            assert_eq!(visit_count(html), None, "{html}");
        }
        let html = "<li>Server: node1 on host</li><li>Port: 8080</li>";
        assert_eq!(node(html).as_deref(), Some("node1:8080"));
    }

    proptest! {
        #[test]
        fn no_page_is_a_panic(html in ".*", tail in "(Visit Count:|[<>a-z0-9 ]){0,12}") {
            let _ = (visit_count(&html), visit_count(&tail), node(&tail));
        }
    }
}
