//! What odt and ods share: the parts of an OpenDocument package, its properties, and white space in its text.

use std::collections::BTreeMap;

use super::container::Container;
use super::package;
use super::xml::{self, Node, Xml};
use super::{OfficeLimits, Outcome, Problem};

pub const CONTENT: &str = "content.xml";
pub const STYLES: &str = "styles.xml";
const META: &str = "meta.xml";
const MANIFEST: &str = "META-INF/manifest.xml";

/// Opens a package; one whose parts are enciphered says so in its manifest.
pub fn open<'a>(bytes: &'a [u8], limits: &OfficeLimits) -> Outcome<Container<'a>> {
    let mut container = Container::open(bytes, limits)?;
    if let Some(text) = part(&mut container, MANIFEST)? {
        let mut xml = Xml::new(MANIFEST, &text, limits);
        while let Some(node) = xml.next()? {
            if matches!(node, Node::Open(tag) if tag.name() == "encryption-data") {
                return Err(Problem::Encrypted);
            }
        }
    }
    Ok(container)
}

pub fn part(container: &mut Container<'_>, name: &str) -> Outcome<Option<String>> {
    let bytes = container.read(name)?;
    bytes.map(|bytes| xml::decode(name, bytes)).transpose()
}

pub fn properties(
    container: &mut Container<'_>,
    limits: &OfficeLimits,
) -> Outcome<(Option<String>, BTreeMap<String, String>)> {
    match part(container, META)? {
        Some(text) => package::described(&mut Xml::new(META, &text, limits)),
        None => Ok((None, BTreeMap::new())),
    }
}

/// Adds text as the format means it: runs of white space are one space, and none begins a paragraph.
pub fn push_collapsed(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            ' ' | '\t' | '\n' | '\r' => {
                if !out.is_empty() && !out.ends_with([' ', '\n', '\t']) {
                    out.push(' ');
                }
            }
            '\u{ad}' | '\u{fffc}' => {}
            char => out.push(char),
        }
    }
}

/// `<text:s c="3"/>`, bounded: it may state any number.
pub fn blanks(count: Option<u32>) -> String {
    " ".repeat(usize::try_from(count.unwrap_or(1)).unwrap_or(1).min(256))
}
