//! Whether the links of a built book lead somewhere. Links to other sites are not followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// A page: what can be linked to in it, and what it links to.
#[derive(Debug, Default)]
struct Page {
    ids: BTreeSet<String>,
    links: Vec<String>,
}

/// Checks every link between the pages of the book in `folder`, and says how many there are.
pub(crate) fn check(folder: &Path) -> Result<usize> {
    let mut pages = BTreeMap::new();
    for file in files(folder, "html")? {
        let text = fs::read_to_string(&file)?;
        pages.insert(file, parse(&text));
    }
    let mut count = 0;
    let mut broken = Vec::new();
    for (file, page) in &pages {
        for link in page.links.iter().filter(|link| is_inner(link)) {
            count += 1;
            if !leads_somewhere(file, link, &pages) {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    if !broken.is_empty() {
        bail!("links that lead nowhere:\n{}", broken.join("\n"));
    }
    Ok(count)
}

/// The pages below `source` that its summary does not list: nobody would find them.
pub(crate) fn unlisted(source: &Path) -> Result<Vec<String>> {
    let summary = fs::read_to_string(source.join("SUMMARY.md"))?;
    let mut unlisted = Vec::new();
    for file in files(source, "md")? {
        let name = file.strip_prefix(source)?.display().to_string();
        if name != "SUMMARY.md" && !summary.contains(&format!("]({name})")) {
            unlisted.push(name);
        }
    }
    Ok(unlisted)
}

fn is_inner(link: &str) -> bool {
    !link.is_empty() && !link.contains(':') && !link.starts_with("//")
}

fn leads_somewhere(file: &Path, link: &str, pages: &BTreeMap<PathBuf, Page>) -> bool {
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        file.to_owned()
    } else {
        normal(&file.parent().unwrap_or(file).join(path))
    };
    match pages.get(&target) {
        Some(page) => fragment.is_empty() || page.ids.contains(fragment),
        None => fragment.is_empty() && target.is_file(),
    }
}

/// The path without `..`; the file need not exist.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

/// mdBook writes attributes in double quotes, always.
fn parse(html: &str) -> Page {
    let values = |name: &str| {
        let start = format!(" {name}=\"");
        let parts = html.split(&start).skip(1);
        parts
            .filter_map(|part| part.split('"').next())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut links = values("href");
    links.extend(values("src"));
    Page {
        ids: values("id").into_iter().collect(),
        links,
    }
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|its| its == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(pages: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, html) in pages {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, html).unwrap();
        }
        folder
    }

    #[test]
    fn good_links_are_counted() {
        let folder = book(&[
            (
                "a.html",
                r#"<a href="b/c.html#there">c</a> <a href="https://example.org/">x</a>"#,
            ),
            (
                "b/c.html",
                r##"<h2 id="there">There</h2> <a href="#there">up</a> <a href="../a.html">a</a>"##,
            ),
        ]);
        assert_eq!(check(folder.path()).unwrap(), 3);
    }

    #[test]
    fn a_missing_page_and_a_missing_place_are_found() {
        for link in ["nowhere.html", "#nowhere", "a.html#nowhere"] {
            let folder = book(&[("a.html", &format!(r#"<a href="{link}">x</a>"#))]);
            let error = check(folder.path()).unwrap_err().to_string();
            assert!(error.contains(link), "{error}");
        }
    }

    #[test]
    fn a_page_that_the_summary_does_not_list_is_found() {
        let folder = book(&[("SUMMARY.md", "- [A](a.md)"), ("a.md", ""), ("b.md", "")]);
        assert_eq!(unlisted(folder.path()).unwrap(), ["b.md"]);
    }
}
