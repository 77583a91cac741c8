//! OpenDocument text: headings, paragraphs, lists, tables, notes, links and text boxes in the order of the file.
//!
//! Left out: headers and footers, comments, deleted text, emphasis, images (but not their alternative text).

use std::collections::{HashMap, HashSet};

use super::blocks::{self, Block, Blocks};
use super::odf;
use super::xml::{Node, Tag, Xml};
use super::{Converted, OfficeLimits, Outcome, Problem, one_line};

const LIST_LEVELS: usize = 10;

pub fn odt(bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    let mut container = odf::open(bytes, limits)?;
    let (title, metadata) = odf::properties(&mut container, limits)?;
    let mut walk = Walk {
        blocks: Blocks::new(limits.text_bytes),
        paras: Vec::new(),
        repeats: Vec::new(),
        links: Vec::new(),
        lists: Vec::new(),
        notes: Vec::new(),
        open_notes: Vec::new(),
        counts: [0; 2],
        styles: ListStyles::default(),
        titles: HashSet::from(["Title".to_owned()]),
        numbered: HashMap::new(),
    };
    if let Some(text) = odf::part(&mut container, odf::STYLES)? {
        let mut xml = Xml::new(odf::STYLES, &text, limits);
        while let Some(node) = xml.next()? {
            if let Node::Open(tag) = node {
                walk.styles.take(&tag);
            }
        }
    }
    let text = odf::part(&mut container, odf::CONTENT)?
        .ok_or_else(|| Problem::damaged(odf::CONTENT, "missing"))?;
    walk.run(&mut Xml::new(odf::CONTENT, &text, limits))?;
    drop(text);
    let mut found = walk.blocks.finish();
    let heading = found.iter().find_map(|block| match block {
        Block::Heading(_, text) => Some(one_line(text)),
        _ => None,
    });
    for (label, text) in &walk.notes {
        found.push(Block::Text(format!("{label}: {text}")));
    }
    let mut text = String::new();
    blocks::write(&found, &mut text);
    Ok(Converted {
        title: title.or(heading),
        text,
        metadata,
        spans: Vec::new(),
    })
}

/// Which levels of which list style are numbered.
#[derive(Default)]
struct ListStyles {
    ordered: HashMap<String, [bool; LIST_LEVELS]>,
    open: String,
}

impl ListStyles {
    fn take(&mut self, tag: &Tag<'_>) {
        match tag.name() {
            "list-style" => self.open = tag.get("name").unwrap_or_default(),
            "list-level-style-number" => {
                let level = tag.number("level").unwrap_or(1).saturating_sub(1);
                // Without a format the level shows no number.
                let shown = tag
                    .get("num-format")
                    .is_some_and(|format| !format.is_empty());
                let levels = self.ordered.entry(self.open.clone()).or_default();
                if let Some(slot) = levels.get_mut(usize::try_from(level).unwrap_or(LIST_LEVELS)) {
                    *slot = shown;
                }
            }
            _ => {}
        }
    }
}

struct Para {
    text: String,
    heading: Option<u8>,
}

struct List {
    style: String,
    number: u32,
    /// The next paragraph begins an item.
    fresh: bool,
}

struct Walk {
    blocks: Blocks,
    paras: Vec<Para>,
    /// Columns that each open cell stands for.
    repeats: Vec<u32>,
    links: Vec<(usize, Option<String>)>,
    lists: Vec<List>,
    notes: Vec<(String, String)>,
    /// Labels of the notes open now, and the lists that stand around them.
    open_notes: Vec<(String, Vec<List>)>,
    /// Footnotes and endnotes so far.
    counts: [usize; 2],
    styles: ListStyles,
    /// Paragraph styles that are titles.
    titles: HashSet<String>,
    /// The last number of each list style at depth 0, for lists that go on.
    numbered: HashMap<String, u32>,
}

impl Walk {
    fn run(&mut self, xml: &mut Xml<'_>) -> Outcome<()> {
        while let Some(node) = xml.next()? {
            match node {
                Node::Open(tag) => self.open(&tag, xml)?,
                Node::Close(end) => self.close(end.name())?,
                Node::Text(text) => {
                    if let Some(para) = self.paras.last_mut() {
                        self.blocks.count(text.len())?;
                        odf::push_collapsed(&text, &mut para.text);
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, tag: &Tag<'_>, xml: &mut Xml<'_>) -> Outcome<()> {
        match tag.name() {
            "tracked-changes"
            | "annotation"
            | "forms"
            | "note-citation"
            | "ruby-text"
            | "script"
            | "table-of-content-source"
            | "bibliography-source" => xml.skip()?,
            name if name.ends_with("-index-source") => xml.skip()?,
            "list-style" | "list-level-style-number" => self.styles.take(tag),
            "style" if tag.get("parent-style-name").as_deref() == Some("Title") => {
                self.titles.extend(tag.get("name"));
            }
            "p" => {
                let style = tag.get("style-name");
                let is_title = style.is_some_and(|style| self.titles.contains(&style));
                self.open_para(is_title.then_some(1));
            }
            "h" => {
                let level = tag.number("outline-level").unwrap_or(1).clamp(1, 9);
                self.open_para(u8::try_from(level).ok());
            }
            "s" => self.add(&odf::blanks(tag.number("c")))?,
            "tab" => self.add("\t")?,
            "line-break" => self.add("\n")?,
            "title" | "desc" if !self.paras.is_empty() => {
                let text = xml.text()?;
                self.add(text.trim())?;
            }
            "a" => {
                let start = self.paras.last().map_or(0, |para| para.text.len());
                let address = tag.get("href").filter(|address| is_absolute(address));
                // A link inside a link has no address of its own to show.
                let address = address.filter(|_| self.links.is_empty());
                self.links.push((start, address));
            }
            "list" => self.open_list(tag),
            "list-item" => {
                if let Some(list) = self.lists.last_mut() {
                    let next = list.number.saturating_add(1);
                    list.number = tag.number("start-value").unwrap_or(next);
                    list.fresh = true;
                }
            }
            "note" => self.open_note(tag.get("note-class").as_deref() == Some("endnote"))?,
            "note-body" => self.blocks.open_capture(),
            "table" => self.blocks.open_table(),
            "table-row" => self.blocks.open_row(),
            // Covered cells are in the file, so that no span has to be counted.
            "table-cell" | "covered-table-cell" => {
                let repeat = tag.number("number-columns-repeated").unwrap_or(1);
                self.repeats.push(repeat);
                self.blocks.open_cell();
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Outcome<()> {
        match name {
            "p" | "h" => self.close_para()?,
            "a" => {
                if let Some((start, Some(address))) = self.links.pop() {
                    self.link(start, &address)?;
                }
            }
            "list" => {
                if let Some(list) = self.lists.pop() {
                    self.numbered.insert(list.style, list.number);
                }
            }
            "note-body" => {
                let text = blocks::flatten(&self.blocks.close_capture());
                if let Some((label, lists)) = self.open_notes.pop() {
                    self.lists = lists;
                    self.notes.push((label, text));
                }
            }
            "table-cell" | "covered-table-cell" => {
                let repeat = self.repeats.pop().unwrap_or(1);
                self.blocks.close_cell(repeat)?;
            }
            "table" => self.blocks.close_table(),
            _ => {}
        }
        Ok(())
    }

    fn open_para(&mut self, heading: Option<u8>) {
        self.paras.push(Para {
            text: String::new(),
            heading,
        });
    }

    fn add(&mut self, text: &str) -> Outcome<()> {
        if let Some(para) = self.paras.last_mut() {
            self.blocks.count(text.len())?;
            para.text.push_str(text);
        }
        Ok(())
    }

    fn open_list(&mut self, tag: &Tag<'_>) {
        let around = self.lists.last().map(|list| list.style.clone());
        let style = tag.get("style-name").or(around).unwrap_or_default();
        let goes_on = tag.get("continue-numbering").as_deref() == Some("true")
            || tag.get("continue-list").is_some();
        let number = if goes_on {
            self.numbered.get(&style).copied().unwrap_or(0)
        } else {
            0
        };
        self.lists.push(List {
            style,
            number,
            fresh: false,
        });
    }

    fn open_note(&mut self, end: bool) -> Outcome<()> {
        let count = &mut self.counts[usize::from(end)];
        *count += 1;
        let label = format!("[^{}{count}]", if end { "e" } else { "" });
        self.add(&label)?;
        // A paragraph of the note is no item of the list around its mark.
        let lists = std::mem::take(&mut self.lists);
        self.open_notes.push((label, lists));
        Ok(())
    }

    fn link(&mut self, start: usize, address: &str) -> Outcome<()> {
        let Some(para) = self.paras.last_mut() else {
            return Ok(());
        };
        let shown = para.text.get(start..).unwrap_or_default();
        if shown.trim().is_empty() || shown.trim() == address {
            return Ok(());
        }
        self.blocks.count(address.len() + 4)?;
        let gap = if shown.starts_with(' ') { " " } else { "" };
        let linked = format!("{gap}[{}]({address})", shown.trim());
        para.text.truncate(start);
        para.text.push_str(&linked);
        Ok(())
    }

    fn close_para(&mut self) -> Outcome<()> {
        let Some(para) = self.paras.pop() else {
            return Ok(());
        };
        let text = para.text.trim().to_owned();
        if text.is_empty() {
            return Ok(());
        }
        let depth = self.lists.len().saturating_sub(1);
        let block = match (para.heading, self.lists.last_mut()) {
            (Some(level), _) => Block::Heading(level, text),
            (None, None) => Block::Text(text),
            (None, Some(list)) => {
                let levels = self.styles.ordered.get(&list.style);
                let ordered = levels.and_then(|levels| levels.get(depth)) == Some(&true);
                let mark = match (list.fresh, ordered) {
                    (false, _) => " ".to_owned(),
                    (true, true) => format!("{}.", list.number),
                    (true, false) => "-".to_owned(),
                };
                list.fresh = false;
                self.blocks.count(mark.len())?;
                Block::Item { depth, mark, text }
            }
        };
        self.blocks.push(block);
        Ok(())
    }
}

fn is_absolute(address: &str) -> bool {
    address.contains("://") || address.starts_with("mailto:")
}
