//! OpenDocument spreadsheets: each sheet as a heading and a table of its values.
//!
//! Repeated cells and rows are counted, and written out only where they hold something. Left out: comments, charts, drawings,
//! tracked changes. Hidden sheets are kept and say so.

use std::collections::HashSet;

use super::grid::Grid;
use super::numbers::{self, Format};
use super::odf;
use super::xlsx;
use super::xml::{Node, Tag, Xml};
use super::{Converted, OfficeLimits, Outcome, Problem};

pub fn ods(bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    let mut container = odf::open(bytes, limits)?;
    let (title, metadata) = odf::properties(&mut container, limits)?;
    let text = odf::part(&mut container, odf::CONTENT)?
        .ok_or_else(|| Problem::damaged(odf::CONTENT, "missing"))?;
    let mut walk = Walk {
        limits,
        converted: Converted {
            title,
            metadata,
            ..Converted::default()
        },
        hidden: HashSet::new(),
        style: String::new(),
        sheet: None,
        cell: None,
        paras: 0,
    };
    walk.run(&mut Xml::new(odf::CONTENT, &text, limits))?;
    Ok(walk.converted)
}

struct Sheet {
    name: String,
    hidden: bool,
    grid: Grid,
    row: u32,
    row_repeat: u32,
    column: u32,
    /// Filled cells of the row: first column, how many times, value.
    filled: Vec<(u32, u32, String)>,
}

struct Cell {
    repeat: u32,
    /// The exact value, where the type has one.
    value: Option<String>,
    text: String,
}

struct Walk<'a> {
    limits: &'a OfficeLimits,
    converted: Converted,
    /// Styles of sheets that are not shown.
    hidden: HashSet<String>,
    style: String,
    sheet: Option<Sheet>,
    cell: Option<Cell>,
    /// Paragraphs open now.
    paras: usize,
}

impl Walk<'_> {
    fn run(&mut self, xml: &mut Xml<'_>) -> Outcome<()> {
        while let Some(node) = xml.next()? {
            match node {
                Node::Open(tag) => self.open(&tag, xml)?,
                Node::Close(end) => self.close(end.name())?,
                Node::Text(text) => {
                    if let Some(cell) = self.cell.as_mut().filter(|_| self.paras > 0) {
                        odf::push_collapsed(&text, &mut cell.text);
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, tag: &Tag<'_>, xml: &mut Xml<'_>) -> Outcome<()> {
        match tag.name() {
            "annotation" | "tracked-changes" | "shapes" | "forms" => xml.skip()?,
            "style" => self.style = tag.get("name").unwrap_or_default(),
            "table-properties" if tag.get("display").as_deref() == Some("false") => {
                self.hidden.insert(self.style.clone());
            }
            "table" if self.sheet.is_none() => {
                let style = tag.get("style-name").unwrap_or_default();
                self.sheet = Some(Sheet {
                    name: tag.get("name").unwrap_or_default(),
                    hidden: self.hidden.contains(&style),
                    grid: Grid::new(self.limits.text_bytes, self.converted.text.len()),
                    row: 0,
                    row_repeat: 1,
                    column: 0,
                    filled: Vec::new(),
                });
            }
            "table-row" => {
                if let Some(sheet) = &mut self.sheet {
                    sheet.row_repeat = tag.number("number-rows-repeated").unwrap_or(1);
                    sheet.column = 0;
                }
            }
            "table-cell" | "covered-table-cell" if self.sheet.is_some() => {
                self.cell = Some(Cell {
                    repeat: tag.number("number-columns-repeated").unwrap_or(1),
                    value: value_of(tag),
                    text: String::new(),
                });
            }
            "p" => {
                self.paras += 1;
                self.add("\n");
            }
            "s" => self.add(&odf::blanks(tag.number("c"))),
            "tab" => self.add("\t"),
            "line-break" => self.add("\n"),
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, text: &str) {
        if let Some(cell) = self.cell.as_mut().filter(|cell| !cell.text.is_empty()) {
            cell.text.push_str(text);
        }
    }

    fn close(&mut self, name: &str) -> Outcome<()> {
        match name {
            "p" => self.paras = self.paras.saturating_sub(1),
            "table-cell" | "covered-table-cell" => {
                if let (Some(sheet), Some(cell)) = (&mut self.sheet, self.cell.take()) {
                    let value = cell.value.unwrap_or(cell.text);
                    if !value.trim().is_empty() {
                        sheet.filled.push((sheet.column, cell.repeat, value));
                    }
                    sheet.column = sheet.column.saturating_add(cell.repeat);
                }
            }
            "table-row" => {
                if let Some(sheet) = &mut self.sheet {
                    sheet.close_row()?;
                }
            }
            "table" => {
                if let Some(sheet) = self.sheet.take() {
                    xlsx::append(&mut self.converted, &sheet.name, sheet.hidden, &sheet.grid)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Sheet {
    /// Every filled cell counts as text in the grid, so that the numbers of repeats are bounded by the limit on text.
    fn close_row(&mut self) -> Outcome<()> {
        let filled = std::mem::take(&mut self.filled);
        if !filled.is_empty() {
            for row in 0..self.row_repeat {
                for (column, repeat, value) in &filled {
                    for index in 0..*repeat {
                        let row = self.row.saturating_add(row);
                        self.grid.add(row, column.saturating_add(index), value)?;
                    }
                }
            }
        }
        self.row = self.row.saturating_add(self.row_repeat);
        Ok(())
    }
}

/// What a cell states beside its shown text, which is rounded and dressed.
fn value_of(tag: &Tag<'_>) -> Option<String> {
    match tag.get("value-type")?.as_str() {
        "float" | "percentage" | "currency" => {
            Some(numbers::show(&tag.get("value")?, Format::Plain, false))
        }
        "date" => {
            let date = tag.get("date-value")?;
            let day = date.strip_suffix("T00:00:00").map(str::to_owned);
            Some(day.unwrap_or(date))
        }
        "boolean" => Some(tag.get("boolean-value")?.to_ascii_uppercase()),
        "string" => tag.get("string-value"),
        _ => None,
    }
}
