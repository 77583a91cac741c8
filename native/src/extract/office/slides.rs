//! PowerPoint presentations (pptx, pptm, ppsx): each slide in the order of the show, its title as a heading, and its notes.
//!
//! Left out: charts, diagrams, comments, slide numbers, dates and footers, layouts and masters. Hidden slides say so.

use super::blocks::{self, Block, Blocks};
use super::container::Container;
use super::docx::push_visible;
use super::package::{self, Relations};
use super::xml::{self, Node, Tag, Xml};
use super::{Converted, OfficeLimits, Outcome, Problem, Span, one_line};

pub fn pptx(bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    let mut container = Container::open(bytes, limits)?;
    let main = package::main_part(&mut container, limits)?;
    let (title, metadata) = package::properties(&mut container, limits)?;
    let relations = package::relations(&mut container, &main, limits)?;
    let order = order(&mut container, &main, limits)?;
    let mut converted = Converted {
        title,
        metadata,
        ..Converted::default()
    };
    let mut held = Blocks::new(limits.text_bytes);
    let mut shown = std::collections::HashSet::new();
    for (index, id) in order.iter().enumerate() {
        let relation = relations.get(id).filter(|relation| !relation.external);
        let part = relation
            .map(|relation| relation.target.as_str())
            .ok_or_else(|| Problem::damaged(&main, format!("no slide {id}")))?;
        // A slide stands in the show once; naming it again is a way to make much of little.
        if !shown.insert(part) {
            return Err(Problem::damaged(&main, format!("{part} is listed twice")));
        }
        let (title, found) = slide(&mut container, part, index + 1, limits, &mut held)?;
        converted.title = converted.title.or(title);
        let text = &mut converted.text;
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let start = text.len();
        let mut piece = String::new();
        blocks::write(&found, &mut piece);
        text.push_str(&piece);
        converted.spans.push(Span {
            name: format!("slide {}", index + 1),
            bytes: start..text.len(),
        });
    }
    Ok(converted)
}

fn order(container: &mut Container<'_>, main: &str, limits: &OfficeLimits) -> Outcome<Vec<String>> {
    let text = xml::decode(main, container.need(main)?)?;
    let mut xml = Xml::new(main, &text, limits);
    let mut ids = Vec::new();
    while let Some(node) = xml.next()? {
        if let Node::Open(tag) = node
            && tag.name() == "sldId"
        {
            ids.extend(tag.relation());
        }
    }
    Ok(ids)
}

/// Title and blocks of one slide, its notes last.
fn slide(
    container: &mut Container<'_>,
    part: &str,
    number: usize,
    limits: &OfficeLimits,
    held: &mut Blocks,
) -> Outcome<(Option<String>, Vec<Block>)> {
    let relations = package::relations(container, part, limits)?;
    let text = xml::decode(part, container.need(part)?)?;
    let mut walk = Walk::new(&relations, held, false);
    walk.run(&mut Xml::new(part, &text, limits))?;
    let (hidden, title) = (walk.hidden, walk.title.trim().to_owned());
    let body = walk.finish();
    drop(text);
    let shown = if title.is_empty() {
        format!("Slide {number}")
    } else {
        title.clone()
    };
    let mark = if hidden { " (hidden)" } else { "" };
    let mut found = vec![Block::Heading(2, format!("{shown}{mark}"))];
    found.extend(body);
    if let Some(part) = package::target_of(&relations, "notesSlide") {
        let text = xml::decode(part, container.need(part)?)?;
        let links = package::relations(container, part, limits)?;
        let mut walk = Walk::new(&links, held, true);
        walk.run(&mut Xml::new(part, &text, limits))?;
        let notes = walk.finish();
        if !notes.is_empty() {
            found.push(Block::Text("Notes:".to_owned()));
            found.extend(notes);
        }
    }
    Ok(((!title.is_empty()).then(|| one_line(&title)), found))
}

/// What a placeholder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Free,
    Title,
    Subtitle,
    Body,
    /// Slide number, date, footer, header, picture of the slide.
    Furniture,
}

#[derive(Default)]
struct Para {
    text: String,
    level: u32,
    /// Some: the paragraph itself says whether it has a bullet.
    bullet: Option<bool>,
}

struct Walk<'a> {
    relations: &'a Relations,
    blocks: &'a mut Blocks,
    /// Only the text of the notes counts, not the small slide above it.
    notes: bool,
    hidden: bool,
    title: String,
    shape: Shape,
    paras: Vec<Para>,
    in_text: bool,
    /// Tables open now.
    tables: usize,
    link: Option<String>,
    run_start: usize,
}

impl<'a> Walk<'a> {
    fn new(relations: &'a Relations, blocks: &'a mut Blocks, notes: bool) -> Walk<'a> {
        blocks.open_capture();
        Walk {
            relations,
            blocks,
            notes,
            hidden: false,
            title: String::new(),
            shape: Shape::Free,
            paras: Vec::new(),
            in_text: false,
            tables: 0,
            link: None,
            run_start: 0,
        }
    }

    fn finish(self) -> Vec<Block> {
        self.blocks.close_capture()
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
            "Fallback" | "extLst" | "tblPr" | "tblGrid" | "lstStyle" | "timing" => xml.skip()?,
            "sld" => self.hidden = matches!(tag.get("show").as_deref(), Some("0" | "false")),
            "sp" | "pic" | "graphicFrame" | "cxnSp" => self.shape = Shape::Free,
            "ph" => self.shape = placeholder(tag),
            "cNvPr" if !self.notes => {
                // Pictures alone have a text of their own that is not on the slide.
                let alt = tag.get("descr").unwrap_or_default();
                let alt = alt.trim();
                if !alt.is_empty() {
                    self.blocks.count(alt.len())?;
                    self.blocks.push(Block::Text(alt.to_owned()));
                }
            }
            "tbl" => {
                self.tables += 1;
                self.blocks.open_table();
            }
            "tr" => self.blocks.open_row(),
            // Merged cells are in the file, empty.
            "tc" => self.blocks.open_cell(),
            "p" => self.paras.push(Para::default()),
            "pPr" => {
                if let Some(para) = self.paras.last_mut() {
                    para.level = tag.number("lvl").unwrap_or(0);
                }
            }
            name @ ("buNone" | "buChar" | "buAutoNum" | "buBlip") => {
                if let Some(para) = self.paras.last_mut() {
                    para.bullet = Some(name != "buNone");
                }
            }
            "r" => {
                self.link = None;
                self.run_start = self.paras.last().map_or(0, |para| para.text.len());
            }
            "hlinkClick" => {
                let relation = tag.relation().and_then(|id| self.relations.get(&id));
                let external = relation.filter(|relation| relation.external);
                self.link = external.map(|relation| relation.target.clone());
            }
            "br" => self.add("\n")?,
            "t" => self.in_text = true,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Outcome<()> {
        match name {
            "t" => self.in_text = false,
            "r" => self.close_run()?,
            "p" => self.close_para(),
            "tc" => self.blocks.close_cell(1)?,
            "tbl" => {
                self.tables = self.tables.saturating_sub(1);
                self.blocks.close_table();
            }
            "sp" | "pic" | "graphicFrame" => self.shape = Shape::Free,
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, text: &str) -> Outcome<()> {
        if let Some(para) = self.paras.last_mut() {
            self.blocks.count(text.len())?;
            // A vertical tab is a line break that was typed into a title.
            push_visible(&text.replace('\u{b}', "\n"), &mut para.text);
        }
        Ok(())
    }

    fn close_run(&mut self) -> Outcome<()> {
        let (Some(address), Some(para)) = (self.link.take(), self.paras.last_mut()) else {
            return Ok(());
        };
        let shown = para.text.get(self.run_start..).unwrap_or_default();
        let shown = shown.trim().to_owned();
        if shown.is_empty() || shown == address {
            return Ok(());
        }
        self.blocks.count(address.len() + 4)?;
        para.text.truncate(self.run_start);
        for piece in ["[", &shown, "](", &address, ")"] {
            para.text.push_str(piece);
        }
        Ok(())
    }

    fn close_para(&mut self) {
        let Some(para) = self.paras.pop() else { return };
        let text = para.text.trim();
        if text.is_empty() || self.shape == Shape::Furniture {
            return;
        }
        if self.notes && self.shape != Shape::Body {
            return;
        }
        if self.shape == Shape::Title {
            if !self.title.is_empty() {
                self.title.push(' ');
            }
            let words: Vec<&str> = text.split_whitespace().collect();
            self.title.push_str(&words.join(" "));
            return;
        }
        let listed = self.shape == Shape::Body && self.tables == 0 && !self.notes;
        let text = text.to_owned();
        self.blocks.push(if para.bullet.unwrap_or(listed) {
            Block::Item {
                depth: usize::try_from(para.level).unwrap_or(0).min(8),
                mark: "-".to_owned(),
                text,
            }
        } else {
            Block::Text(text)
        });
    }
}

fn placeholder(tag: &Tag<'_>) -> Shape {
    match tag.get("type").as_deref() {
        Some("title" | "ctrTitle") => Shape::Title,
        Some("subTitle") => Shape::Subtitle,
        Some("sldNum" | "dt" | "ftr" | "hdr" | "sldImg") => Shape::Furniture,
        _ => Shape::Body,
    }
}
