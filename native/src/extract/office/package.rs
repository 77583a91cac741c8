//! What docx, xlsx and pptx share: relationships between parts, the main part, and the properties of the document.
//!
//! Targets are names inside the archive; one that leaves it is a link's address and is never opened.

use std::collections::{BTreeMap, HashMap};

use super::container::Container;
use super::xml::{self, Node, Xml};
use super::{OfficeLimits, Outcome, Problem, one_line};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The last word of its type: "slide", "notesSlide", "hyperlink".
    pub kind: String,
    /// A part's name, or the address of a link.
    pub target: String,
    pub external: bool,
}

pub type Relations = HashMap<String, Relation>;

/// Reads `part`'s relationships; a part without any has no file for them.
pub fn relations(
    container: &mut Container<'_>,
    part: &str,
    limits: &OfficeLimits,
) -> Outcome<Relations> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let name = format!("{folder}/_rels/{file}.rels");
    let mut found = Relations::new();
    let Some(bytes) = container.read(&name)? else {
        return Ok(found);
    };
    let text = xml::decode(&name, bytes)?;
    let mut xml = Xml::new(&name, &text, limits);
    while let Some(node) = xml.next()? {
        let Node::Open(tag) = node else { continue };
        if tag.name() != "Relationship" {
            continue;
        }
        let (Some(id), Some(kind), Some(target)) =
            (tag.get("Id"), tag.get("Type"), tag.get("Target"))
        else {
            continue;
        };
        let external = tag.get("TargetMode").as_deref() == Some("External");
        let target = if external {
            target
        } else {
            join(folder, &target)
        };
        let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
        let relation = Relation {
            kind,
            target,
            external,
        };
        found.insert(id, relation);
    }
    Ok(found)
}

/// The part that the package is about.
pub fn main_part(container: &mut Container<'_>, limits: &OfficeLimits) -> Outcome<String> {
    let relations = relations(container, "", limits)?;
    let main = relations
        .into_values()
        .find(|one| one.kind == "officeDocument");
    main.map(|one| one.target)
        .ok_or_else(|| Problem::Damaged("_rels/.rels: names no main part".to_owned()))
}

/// The target of the first relation of a kind.
pub fn target_of<'a>(relations: &'a Relations, kind: &str) -> Option<&'a str> {
    let mut found: Vec<&Relation> = relations
        .values()
        .filter(|one| one.kind == kind && !one.external)
        .collect();
    found.sort_by(|a, b| a.target.cmp(&b.target));
    found.first().map(|one| one.target.as_str())
}

/// Resolves a target against the folder of the part that names it.
pub fn join(folder: &str, target: &str) -> String {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    let mut steps: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        folder.split('/').filter(|step| !step.is_empty()).collect()
    };
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.join("/")
}

/// docProps/core.xml as metadata, the title apart.
pub fn properties(
    container: &mut Container<'_>,
    limits: &OfficeLimits,
) -> Outcome<(Option<String>, BTreeMap<String, String>)> {
    const PART: &str = "docProps/core.xml";
    let Some(bytes) = container.read(PART)? else {
        return Ok((None, BTreeMap::new()));
    };
    let text = xml::decode(PART, bytes)?;
    described(&mut Xml::new(PART, &text, limits))
}

/// Dublin Core and its neighbours, wherever in a part they stand: core.xml, meta.xml, an OPF file.
pub fn described(xml: &mut Xml<'_>) -> Outcome<(Option<String>, BTreeMap<String, String>)> {
    let mut title = None;
    let mut metadata = BTreeMap::new();
    while let Some(node) = xml.next()? {
        let Node::Open(tag) = node else { continue };
        let name = match tag.name() {
            "title" => "title",
            "creator" | "initial-creator" => "author",
            "subject" => "subject",
            "keywords" | "keyword" => "keywords",
            "language" => "language",
            "created" | "creation-date" => "created",
            "modified" => "modified",
            "date" => "date",
            "publisher" => "publisher",
            "identifier" => "identifier",
            _ => continue,
        };
        let value = xml.text()?;
        let value = one_line(&value);
        if value.is_empty() {
            continue;
        }
        if name == "title" {
            title = title.or(Some(value));
        } else {
            metadata.entry(name.to_owned()).or_insert(value);
        }
    }
    Ok((title, metadata))
}
