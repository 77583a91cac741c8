//! What a docx says about its paragraphs apart from their text: heading levels and lists, from styles.xml and numbering.xml.
//!
//! Styles are read by what they do (outline level, list) and by their English base name, because ids are localized.

use std::collections::HashMap;

use super::Outcome;
use super::xml::{Node, Xml};

/// Styles build on one another; a circle ends here.
const CHAIN_MAX: usize = 32;
/// Levels of a list in the format.
const LIST_LEVELS: usize = 9;

#[derive(Debug, Clone, Default)]
struct Style {
    based_on: Option<String>,
    heading: Option<u8>,
    list: Option<u32>,
    list_level: Option<u32>,
}

#[derive(Default)]
pub struct Styles(HashMap<String, Style>);

/// What a paragraph's style makes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    pub heading: Option<u8>,
    pub list: Option<u32>,
    pub list_level: Option<u32>,
}

impl Styles {
    pub fn read(xml: &mut Xml<'_>) -> Outcome<Styles> {
        let mut styles = HashMap::new();
        let mut open: Option<(String, Style)> = None;
        while let Some(node) = xml.next()? {
            match node {
                Node::Open(tag) => match (tag.name(), &mut open) {
                    ("style", _) => {
                        let id = tag.get("styleId").unwrap_or_default();
                        open = Some((id, Style::default()));
                    }
                    ("name", Some((_, style))) => {
                        let name = tag.get("val").unwrap_or_default();
                        style.heading = style.heading.or(heading_of_name(&name));
                    }
                    ("basedOn", Some((_, style))) => style.based_on = tag.get("val"),
                    ("outlineLvl", Some((_, style))) => {
                        style.heading = tag.number("val").and_then(heading_of_outline);
                    }
                    ("numId", Some((_, style))) => style.list = tag.number("val"),
                    ("ilvl", Some((_, style))) => style.list_level = tag.number("val"),
                    _ => {}
                },
                Node::Close(end) if end.name() == "style" => styles.extend(open.take()),
                _ => {}
            }
        }
        Ok(Styles(styles))
    }

    pub fn look(&self, id: &str) -> Look {
        let mut look = Look::default();
        let mut next = Some(id);
        for _ in 0..CHAIN_MAX {
            let Some(style) = next.and_then(|id| self.0.get(id)) else {
                break;
            };
            look.heading = look.heading.or(style.heading);
            look.list = look.list.or(style.list);
            look.list_level = look.list_level.or(style.list_level);
            next = style.based_on.as_deref();
        }
        look
    }
}

fn heading_of_name(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    if name == "title" {
        return Some(1);
    }
    let level: u8 = name.strip_prefix("heading ")?.trim().parse().ok()?;
    (1..=9).contains(&level).then_some(level)
}

/// Levels count from 0; 9 is body text.
pub fn heading_of_outline(level: u32) -> Option<u8> {
    let level = u8::try_from(level).ok()?;
    (level < 9).then_some(level + 1)
}

#[derive(Debug, Clone, Copy)]
struct ListLevel {
    ordered: bool,
    start: u32,
}

/// Lists by number, and where each stands in its counting.
#[derive(Default)]
pub struct Lists {
    levels: HashMap<u32, [ListLevel; LIST_LEVELS]>,
    counts: HashMap<u32, [Option<u32>; LIST_LEVELS]>,
}

const BULLET: ListLevel = ListLevel {
    ordered: false,
    start: 1,
};

impl Lists {
    pub fn read(xml: &mut Xml<'_>) -> Outcome<Lists> {
        let mut shapes: HashMap<u32, [ListLevel; LIST_LEVELS]> = HashMap::new();
        let mut lists: HashMap<u32, u32> = HashMap::new();
        let (mut shape, mut level, mut list) = (None, None, None);
        while let Some(node) = xml.next()? {
            let Node::Open(tag) = node else { continue };
            match tag.name() {
                "abstractNum" => {
                    shape = tag.number("abstractNumId");
                    level = None;
                    if let Some(id) = shape {
                        shapes.insert(id, [BULLET; LIST_LEVELS]);
                    }
                }
                "lvl" => {
                    level = tag
                        .number("ilvl")
                        .and_then(|level| usize::try_from(level).ok());
                }
                "num" => {
                    list = tag.number("numId");
                    shape = None;
                }
                "abstractNumId" => {
                    if let (Some(list), Some(shape)) = (list, tag.number("val")) {
                        lists.insert(list, shape);
                    }
                }
                // Overrides inside <num> restart the counting; the levels of its shape stay.
                name @ ("numFmt" | "start") => {
                    let levels = shape.and_then(|id| shapes.get_mut(&id));
                    if let (Some(levels), Some(level)) = (levels, level)
                        && let Some(level) = levels.get_mut(level)
                    {
                        if name == "start" {
                            level.start = tag.number("val").unwrap_or(1);
                        } else {
                            let format = tag.get("val").unwrap_or_default();
                            level.ordered = !matches!(format.as_str(), "bullet" | "none");
                        }
                    }
                }
                _ => {}
            }
        }
        let levels = lists
            .into_iter()
            .filter_map(|(list, shape)| Some((list, *shapes.get(&shape)?)))
            .collect();
        Ok(Lists {
            levels,
            counts: HashMap::new(),
        })
    }

    /// The mark of the next item, "-" or "3.", and its depth.
    pub fn mark(&mut self, list: u32, level: u32) -> (String, usize) {
        let depth = usize::try_from(level).unwrap_or(0).min(LIST_LEVELS - 1);
        let levels = self.levels.get(&list).unwrap_or(&[BULLET; LIST_LEVELS]);
        if !levels[depth].ordered {
            return ("-".to_owned(), depth);
        }
        let counts = self.counts.entry(list).or_default();
        counts[depth + 1..].fill(None);
        let number = counts[depth].map_or(levels[depth].start, |last| last.saturating_add(1));
        counts[depth] = Some(number);
        (format!("{number}."), depth)
    }
}
