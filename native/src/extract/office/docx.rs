//! Word documents (docx, docm, dotx): the main text with headings, lists, tables, notes, links and text boxes.
//!
//! Left out: headers and footers, comments, deleted text, field codes, emphasis, images (but not their alternative text).

use std::collections::HashMap;

use super::blocks::{self, Block, Blocks};
use super::container::Container;
use super::docx_styles::{Lists, Styles, heading_of_outline};
use super::package::{self, Relations};
use super::xml::{self, Node, Tag, Xml};
use super::{Converted, OfficeLimits, Outcome, one_line};

pub fn docx(bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    let mut container = Container::open(bytes, limits)?;
    let main = package::main_part(&mut container, limits)?;
    let (title, metadata) = package::properties(&mut container, limits)?;
    let relations = package::relations(&mut container, &main, limits)?;
    let mut walk = Walk::new(limits);
    if let Some((part, text)) = related(&mut container, &relations, "styles")? {
        walk.styles = Styles::read(&mut Xml::new(&part, &text, limits))?;
    }
    if let Some((part, text)) = related(&mut container, &relations, "numbering")? {
        walk.lists = Lists::read(&mut Xml::new(&part, &text, limits))?;
    }
    let text = xml::decode(&main, container.need(&main)?)?;
    walk.relations = relations;
    walk.run(&mut Xml::new(&main, &text, limits))?;
    drop(text);
    for (kind, name) in [(Note::Foot, "footnotes"), (Note::End, "endnotes")] {
        if walk.cited.iter().all(|(cited, _)| *cited != kind) {
            continue;
        }
        let Some((part, text)) = related(&mut container, &walk.relations, name)? else {
            continue;
        };
        walk.relations = package::relations(&mut container, &part, limits)?;
        walk.run(&mut Xml::new(&part, &text, limits))?;
        walk.relations = package::relations(&mut container, &main, limits)?;
    }
    let (first_heading, text) = walk.finish();
    Ok(Converted {
        title: title.or(first_heading),
        text,
        metadata,
        spans: Vec::new(),
    })
}

fn related(
    container: &mut Container<'_>,
    relations: &Relations,
    kind: &str,
) -> Outcome<Option<(String, String)>> {
    let Some(part) = package::target_of(relations, kind) else {
        return Ok(None);
    };
    let Some(bytes) = container.read(part)? else {
        return Ok(None);
    };
    Ok(Some((part.to_owned(), xml::decode(part, bytes)?)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Note {
    Foot,
    End,
}

impl Note {
    fn label(self, number: usize) -> String {
        match self {
            Note::Foot => format!("[^{number}]"),
            Note::End => format!("[^e{number}]"),
        }
    }
}

#[derive(Default)]
struct Para {
    text: String,
    style: Option<String>,
    outline: Option<u32>,
    list: Option<u32>,
    list_level: Option<u32>,
}

struct Walk {
    styles: Styles,
    lists: Lists,
    relations: Relations,
    blocks: Blocks,
    /// Paragraphs open now: a text box stands inside one.
    paras: Vec<Para>,
    /// Spans of the cells open now.
    spans: Vec<u32>,
    /// Rows open now, and whether tracking has deleted them.
    rows: Vec<bool>,
    /// Links open now: where their text begins in the paragraph, and the address.
    links: Vec<(usize, Option<String>)>,
    /// Notes in the order of their marks; the place is the number.
    cited: Vec<(Note, String)>,
    places: HashMap<(Note, String), usize>,
    /// Footnotes and endnotes cited so far.
    counts: [usize; 2],
    notes: HashMap<(Note, String), String>,
    open_note: Option<(Note, String)>,
    in_text: bool,
}

impl Walk {
    fn new(limits: &OfficeLimits) -> Walk {
        Walk {
            styles: Styles::default(),
            lists: Lists::default(),
            relations: Relations::new(),
            blocks: Blocks::new(limits.text_bytes),
            paras: Vec::new(),
            spans: Vec::new(),
            rows: Vec::new(),
            links: Vec::new(),
            cited: Vec::new(),
            places: HashMap::new(),
            counts: [0; 2],
            notes: HashMap::new(),
            open_note: None,
            in_text: false,
        }
    }

    fn run(&mut self, xml: &mut Xml<'_>) -> Outcome<()> {
        while let Some(node) = xml.next()? {
            match node {
                Node::Open(tag) => self.open(&tag, xml)?,
                Node::Close(end) => self.close(end.name())?,
                Node::Text(text) if self.in_text => self.add(&text)?,
                Node::Text(_) => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, tag: &Tag<'_>, xml: &mut Xml<'_>) -> Outcome<()> {
        match tag.name() {
            // Deleted and moved text, earlier formatting, the second copy of a drawing for old readers, readings above words.
            "del" | "moveFrom" | "rPr" | "pPrChange" | "tblPrEx" | "tblPr" | "sectPr" | "sdtPr"
            | "Fallback" | "rt" | "tabs" | "tcPrChange" | "sectPrChange" => xml.skip()?,
            "p" => self.paras.push(Para::default()),
            "t" => self.in_text = true,
            "tab" => self.add("\t")?,
            "br" | "cr" => self.add("\n")?,
            "noBreakHyphen" => self.add("-")?,
            "docPr" => {
                if let Some(alt) = tag.get("descr") {
                    self.add(alt.trim())?;
                }
            }
            "tbl" => self.blocks.open_table(),
            "tr" => {
                self.rows.push(false);
                self.blocks.open_row();
            }
            "trPr" => self.row_properties(xml)?,
            "tc" => {
                self.spans.push(1);
                self.blocks.open_cell();
            }
            "gridSpan" => {
                if let Some(span) = self.spans.last_mut() {
                    *span = tag.number("val").unwrap_or(1);
                }
            }
            "hyperlink" => {
                let start = self.paras.last().map_or(0, |para| para.text.len());
                // A link inside a link has no address of its own to show.
                let address = self.address(tag).filter(|_| self.links.is_empty());
                self.links.push((start, address));
            }
            "footnoteReference" => self.cite(Note::Foot, tag)?,
            "endnoteReference" => self.cite(Note::End, tag)?,
            "footnote" => self.open_note(Note::Foot, tag, xml)?,
            "endnote" => self.open_note(Note::End, tag, xml)?,
            name @ ("pStyle" | "outlineLvl" | "numId" | "ilvl") => {
                if let Some(para) = self.paras.last_mut() {
                    match name {
                        "pStyle" => para.style = tag.get("val"),
                        "outlineLvl" => para.outline = tag.number("val"),
                        "numId" => para.list = tag.number("val"),
                        _ => para.list_level = tag.number("val"),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Outcome<()> {
        match name {
            "p" => self.close_para()?,
            "t" => self.in_text = false,
            "tbl" => self.blocks.close_table(),
            "tr" if self.rows.pop() == Some(true) => self.blocks.drop_row(),
            "tc" => {
                let span = self.spans.pop().unwrap_or(1);
                self.blocks.close_cell(span)?;
            }
            "hyperlink" => {
                if let Some((start, Some(address))) = self.links.pop() {
                    self.link(start, &address)?;
                }
            }
            "footnote" | "endnote" => {
                if let Some(note) = self.open_note.take() {
                    let text = blocks::flatten(&self.blocks.close_capture());
                    self.notes.insert(note, text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, text: &str) -> Outcome<()> {
        let Some(para) = self.paras.last_mut() else {
            return Ok(());
        };
        self.blocks.count(text.len())?;
        push_visible(text, &mut para.text);
        Ok(())
    }

    fn row_properties(&mut self, xml: &mut Xml<'_>) -> Outcome<()> {
        let outside = xml.depth() - 1;
        while xml.depth() > outside {
            match xml.next()? {
                Some(Node::Open(tag)) if tag.name() == "del" => {
                    if let Some(deleted) = self.rows.last_mut() {
                        *deleted = true;
                    }
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    /// The address of a link that leaves the document.
    fn address(&self, tag: &Tag<'_>) -> Option<String> {
        let relation = self.relations.get(&tag.relation()?)?;
        relation.external.then(|| relation.target.clone())
    }

    fn link(&mut self, start: usize, address: &str) -> Outcome<()> {
        let Some(para) = self.paras.last_mut() else {
            return Ok(());
        };
        let shown = para.text.get(start..).unwrap_or_default().trim();
        if shown.is_empty() || shown == address {
            return Ok(());
        }
        self.blocks.count(address.len() + 4)?;
        let linked = format!("[{shown}]({address})");
        para.text.truncate(start);
        para.text.push_str(&linked);
        Ok(())
    }

    fn cite(&mut self, kind: Note, tag: &Tag<'_>) -> Outcome<()> {
        let key = (kind, tag.get("id").unwrap_or_default());
        let next = self.counts[kind as usize] + 1;
        let number = *self.places.entry(key.clone()).or_insert(next);
        if number == next {
            self.counts[kind as usize] = next;
            self.cited.push(key);
        }
        self.add(&kind.label(number))
    }

    fn open_note(&mut self, kind: Note, tag: &Tag<'_>, xml: &mut Xml<'_>) -> Outcome<()> {
        let key = (kind, tag.get("id").unwrap_or_default());
        if !self.places.contains_key(&key) {
            // Separators, and notes whose mark is gone.
            return xml.skip();
        }
        self.blocks.open_capture();
        self.open_note = Some(key);
        Ok(())
    }

    fn close_para(&mut self) -> Outcome<()> {
        let Some(para) = self.paras.pop() else {
            return Ok(());
        };
        let text = para.text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let look = para.style.as_deref().map(|id| self.styles.look(id));
        let look = look.unwrap_or_default();
        let heading = match para.outline {
            Some(level) => heading_of_outline(level),
            None => look.heading,
        };
        let list = para.list.or(look.list).filter(|list| *list != 0);
        let level = para.list_level.or(look.list_level).unwrap_or(0);
        let text = text.to_owned();
        let block = match (heading, list) {
            (Some(level), _) => Block::Heading(level, text),
            (None, Some(list)) => {
                let (mark, depth) = self.lists.mark(list, level);
                self.blocks.count(mark.len())?;
                Block::Item { depth, mark, text }
            }
            (None, None) => Block::Text(text),
        };
        self.blocks.push(block);
        Ok(())
    }

    /// The first heading, and the text with its notes behind it.
    fn finish(self) -> (Option<String>, String) {
        let mut found = self.blocks.finish();
        let heading = found.iter().find_map(|block| match block {
            Block::Heading(_, text) => Some(one_line(text)),
            _ => None,
        });
        for key in &self.cited {
            if let (Some(text), Some(number)) = (self.notes.get(key), self.places.get(key)) {
                found.push(Block::Text(format!("{}: {text}", key.0.label(*number))));
            }
        }
        let mut text = String::new();
        blocks::write(&found, &mut text);
        (heading, text)
    }
}

/// Soft hyphens only say where a line may break, and object marks stand for what is not text.
pub fn push_visible(text: &str, out: &mut String) {
    out.extend(
        text.chars()
            .filter(|char| !matches!(char, '\u{ad}' | '\u{fffc}')),
    );
}
