//! Links of the documentation lead somewhere within the tree: to a file, a folder, or a heading.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use super::Source;

/// Relative links that lead nowhere. What has a scheme is somebody else's, and is not asked.
pub fn dead_links(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for link in read(&source.text).links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            if let Err(why) = follow(sources, source, &link) {
                complaints.push(format!("{}: the link `{link}` {why}", source.path));
            }
        }
    }
    complaints
}

fn follow(sources: &[Source], from: &Source, link: &str) -> Result<(), String> {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    let place = if path.is_empty() {
        from.path.clone()
    } else {
        plain(&Path::new(&from.path).with_file_name(path)).ok_or("leaves the tree")?
    };
    let target = sources.iter().find(|source| source.path == place);
    let folder = format!("{place}/");
    match (target, heading) {
        (None, None) if place.is_empty() => Ok(()),
        (None, None) if sources.iter().any(|source| source.path.starts_with(&folder)) => Ok(()),
        (None, _) => Err("leads to no file".to_owned()),
        (Some(_), None) => Ok(()),
        (Some(target), Some(heading)) if read(&target.text).anchors.contains(heading) => Ok(()),
        (Some(target), Some(_)) => Err(format!("leads to no heading of {}", target.path)),
    }
}

/// The path without `..`, unless it leads out.
fn plain(path: &Path) -> Option<String> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain.to_string_lossy().into_owned())
}

#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { link_type: LinkType::Email, .. }) => {}
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                // A second one of the same name has a number.
                let again = (1..).map(|n| format!("{anchor}-{n}"));
                let free =
                    std::iter::once(anchor.clone()).chain(again).find(|name| !page.anchors.contains(name));
                page.anchors.extend(free);
            }
            Event::Text(piece) | Event::Code(piece) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&piece);
                }
            }
            Event::Start(_)
            | Event::End(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }
    page
}

/// The name that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_a_folder_or_a_heading() {
        let complaints = |link: &str| {
            let page = format!("# A `b`, c\n\n## A b c\n\n| x |\n|---|\n| [a]({link}) <a@b.example> |\n");
            dead_links(&[
                Source::sample("docs/here.md", &page),
                Source::sample("docs/more/other.md", "# When it's *done*\n\n# Same\n\n# Same\n"),
                Source::sample("README.md", ""),
            ])
        };
        for good in [
            "more/other.md",
            "./more",
            "../README.md",
            "#a-b-c",
            "#a-b-c-1",
            "more/other.md#when-its-done",
            "more/other.md#same-1",
            "https://example.com/x.md#y",
            "mailto:a@b.example",
            "..",
        ] {
            assert_eq!(complaints(good), Vec::<String>::new(), "{good}");
        }
        for bad in ["other.md", "../../README.md", "/README.md", "#a-b-c-2", "more/other.md#done", "mor"] {
            let complaints = complaints(bad);
            assert!(
                complaints.len() == 1 && complaints[0].starts_with("docs/here.md: the link"),
                "{bad}: {complaints:?}"
            );
        }
    }
}
