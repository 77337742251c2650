//! The modules of a crate, and where a path leads among them.
//!
//! Invariant: a name is followed through every `use` that hands it on, so that a path leads to the module that defines it.
//! What is for tests alone is left out.

use std::collections::BTreeMap;

use super::Source;
use super::paths::{self, File, Kind, Named};

/// Modules that only tests have: they use anything, and any test uses them.
pub(super) const TEST_ONLY: &[&str] = &["testpki"];
/// How many times a name is handed on at most.
const MOST_STEPS: usize = 16;

/// A module by its path from the root; the root's is empty.
pub(super) type Name = Vec<String>;

/// What one module asks of another.
#[derive(Debug, Clone)]
pub(super) struct Edge<'s> {
    pub(super) from: Name,
    pub(super) to: Name,
    /// The file of `from`.
    pub(super) path: &'s str,
    pub(super) line: usize,
}

/// The modules of a crate.
#[derive(Debug)]
pub(super) struct Modules<'s>(BTreeMap<Name, (&'s str, File)>);

impl<'s> Modules<'s> {
    /// Of the sources below `folder`.
    pub(super) fn read(sources: &'s [Source], folder: &str) -> Self {
        let module = |source: &'s Source| {
            let name = name_of(source.path.strip_prefix(folder)?)?;
            Some((name, (source.path.as_str(), paths::read(&source.text))))
        };
        Self(sources.iter().filter_map(module).collect())
    }

    /// Modules that have modules in them.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Name> {
        self.0.keys().filter(|name| {
            self.0.keys().any(|other| other.len() == name.len() + 1 && other.starts_with(name))
        })
    }

    /// What each module asks of the others. A `pub use` of what is below a module hands on, and asks for nothing; where
    /// the module's own code says such a name, that asks.
    pub(super) fn edges(&self) -> Vec<Edge<'s>> {
        let mut edges = Vec::new();
        for (from, (path, file)) in &self.0 {
            for named in file.paths.iter().filter(|named| !named.is_test) {
                for to in self.asked(from, named) {
                    edges.push(Edge { from: from.clone(), to, path, line: named.line });
                }
            }
        }
        edges
    }

    fn asked(&self, from: &Name, named: &Named) -> Vec<Name> {
        let is_glob = named.segments.last().is_some_and(|last| last == "*");
        let here = [from.as_slice(), &named.within].concat();
        let Some(to) = self.follow(&here, &named.segments, MOST_STEPS) else { return Vec::new() };
        match &named.kind {
            Kind::Visibility => Vec::new(),
            Kind::Use { is_public: true, .. } if to.module.starts_with(from) => Vec::new(),
            Kind::Use { .. } if is_glob => {
                let handed_on = self.uses(&to.module).filter_map(|(_, segments)| {
                    self.follow(&to.module, segments, MOST_STEPS).map(|handed| handed.module)
                });
                handed_on.chain([to.module.clone()]).collect()
            }
            // A module that this one is in, by its own name: what is asked of it is said where that name is used.
            Kind::Use { .. } | Kind::Inline if to.is_module && from.starts_with(&to.module) => Vec::new(),
            Kind::Use { .. } | Kind::Inline => vec![to.module],
        }
    }

    /// The names that a module's `use` items bring in, with their paths.
    fn uses(&self, module: &[String]) -> impl Iterator<Item = (&str, &[String])> {
        let paths = self.0.get(module).map_or(&[][..], |(_, file)| &file.paths);
        paths.iter().filter(|named| !named.is_test).filter_map(|named| match &named.kind {
            // `use word;` makes a path of a macro's name.
            Kind::Use { name, .. } if named.segments != [name.as_str()] => {
                Some((name.as_str(), named.segments.as_slice()))
            }
            Kind::Use { .. } | Kind::Inline | Kind::Visibility => None,
        })
    }

    /// Where a path leads that is said in the module `here`; `None` for another crate, or a name that came from nowhere.
    fn follow(&self, here: &[String], segments: &[String], steps: usize) -> Option<Place> {
        let steps = steps.checked_sub(1)?;
        if let Some(path) = absolute(here, segments) {
            return self.walk(&path, steps);
        }
        let own = self.file_of(here);
        let (head, rest) = segments.split_first()?;
        let child = [own, std::slice::from_ref(head)].concat();
        if self.0.contains_key(&child) {
            return self.walk(&[child.as_slice(), rest].concat(), steps);
        }
        let (_, imported) = self.uses(own).find(|(name, _)| name == head)?;
        if imported.first() == Some(head) {
            return None;
        }
        self.follow(own, &[imported, rest].concat(), steps)
    }

    /// The module of the file that a module is in.
    fn file_of<'m>(&self, module: &'m [String]) -> &'m [String] {
        let within = (0..=module.len()).rev().find(|length| self.0.contains_key(&module[..*length]));
        &module[..within.unwrap_or(0)]
    }

    fn walk(&self, path: &[String], steps: usize) -> Option<Place> {
        let module = self.file_of(path);
        let rest = &path[module.len()..];
        let Some((name, rest)) = rest.split_first().filter(|(name, _)| *name != "*") else {
            return Some(Place { module: module.to_vec(), is_module: true });
        };
        let defined = Some(Place { module: module.to_vec(), is_module: false });
        if let Some((_, handed)) = self.uses(module).find(|(known, _)| known == name) {
            return self.follow(module, &[handed, rest].concat(), steps);
        }
        if self.0.get(module).is_none_or(|(_, file)| file.defined.contains(name)) {
            return defined;
        }
        let globs = self.uses(module).filter(|(known, _)| *known == "*");
        let from_glob = globs
            .filter_map(|(_, glob)| self.follow(module, glob, steps))
            .find(|place| self.0.get(&place.module).is_some_and(|(_, file)| file.defined.contains(name)));
        from_glob.map(|place| Place { is_module: false, ..place }).or(defined)
    }
}

#[derive(Debug)]
struct Place {
    module: Name,
    /// The module itself, and nothing in it.
    is_module: bool,
}

/// The module of a file by its place below the root; `None` for tests, and for `main.rs`, which is another crate.
pub(super) fn name_of(inside: &str) -> Option<Name> {
    let mut name: Name = inside.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    let is_test =
        |part: &String| part == "tests" || part.ends_with("_tests") || TEST_ONLY.contains(&part.as_str());
    if name.iter().any(is_test) || name == ["main"] {
        return None;
    }
    if name.last().is_some_and(|last| last == "mod") || name == ["lib"] {
        name.pop();
    }
    Some(name)
}

/// A path that begins with `crate`, `self` or `super`, from the root.
pub(super) fn absolute(here: &[String], segments: &[String]) -> Option<Vec<String>> {
    if segments.first()? == "crate" {
        return Some(segments[1..].to_vec());
    }
    let own = usize::from(segments[0] == "self");
    let up = segments[own..].iter().take_while(|segment| *segment == "super").count();
    if own + up == 0 {
        return None;
    }
    Some([&here[..here.len().checked_sub(up)?], &segments[own + up..]].concat())
}
