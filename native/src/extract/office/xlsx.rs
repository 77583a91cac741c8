//! Excel workbooks (xlsx, xlsm): each sheet as a heading and a table of what its cells show.
//!
//! Read cell by cell into a `Grid`, never into a rectangle. Formulas give the value they had when the file was saved. Left out:
//! comments, charts, drawings, links' addresses, number formats other than dates. Hidden sheets are kept and say so.

use super::container::Container;
use super::grid::{self, Grid};
use super::numbers::{self, Format};
use super::package;
use super::xml::{self, Node, Tag, Xml};
use super::{Converted, OfficeLimits, Outcome, Problem, Span, one_line};

/// Strings of a workbook in one text, so that a million short ones cost no more than their bytes.
#[derive(Default)]
struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => self.ends[before] as usize,
            None => 0,
        };
        self.text.get(start..end)
    }
}

struct Sheet {
    name: String,
    part: String,
    hidden: bool,
}

struct Book {
    strings: Strings,
    /// By cell style.
    formats: Vec<Format>,
    from_1904: bool,
}

pub fn xlsx(bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    let mut container = Container::open(bytes, limits)?;
    let main = package::main_part(&mut container, limits)?;
    let (title, metadata) = package::properties(&mut container, limits)?;
    let relations = package::relations(&mut container, &main, limits)?;
    let text = xml::decode(&main, container.need(&main)?)?;
    let (sheets, from_1904) = sheets(&mut Xml::new(&main, &text, limits), &relations)?;
    let mut book = Book {
        strings: Strings::default(),
        formats: Vec::new(),
        from_1904,
    };
    if let Some(part) = package::target_of(&relations, "sharedStrings")
        && let Some(bytes) = container.read(part)?
    {
        let text = xml::decode(part, bytes)?;
        book.strings = strings(&mut Xml::new(part, &text, limits))?;
    }
    if let Some(part) = package::target_of(&relations, "styles")
        && let Some(bytes) = container.read(part)?
    {
        let text = xml::decode(part, bytes)?;
        book.formats = formats(&mut Xml::new(part, &text, limits))?;
    }
    let mut converted = Converted {
        title,
        metadata,
        ..Converted::default()
    };
    for sheet in &sheets {
        let text = xml::decode(&sheet.part, container.need(&sheet.part)?)?;
        let mut grid = Grid::new(limits.text_bytes, converted.text.len());
        cells(&mut Xml::new(&sheet.part, &text, limits), &book, &mut grid)?;
        drop(text);
        append(&mut converted, &sheet.name, sheet.hidden, &grid)?;
    }
    Ok(converted)
}

/// Adds a sheet as heading and table; an empty one is left out.
pub fn append(converted: &mut Converted, name: &str, hidden: bool, grid: &Grid) -> Outcome<()> {
    let text = &mut converted.text;
    let before = text.len();
    if before > 0 {
        text.push_str("\n\n");
    }
    let start = text.len();
    let mark = if hidden { " (hidden)" } else { "" };
    let name = one_line(name);
    for piece in ["## ", &name, mark, "\n\n"] {
        text.push_str(piece);
    }
    if !grid.write(text)? {
        text.truncate(before);
        return Ok(());
    }
    let span = Span {
        name: format!("sheet {name}"),
        bytes: start..text.len(),
    };
    converted.spans.push(span);
    Ok(())
}

fn sheets(xml: &mut Xml<'_>, relations: &package::Relations) -> Outcome<(Vec<Sheet>, bool)> {
    let mut sheets = Vec::new();
    let mut from_1904 = false;
    while let Some(node) = xml.next()? {
        let Node::Open(tag) = node else { continue };
        match tag.name() {
            "workbookPr" => {
                from_1904 = matches!(tag.get("date1904").as_deref(), Some("1" | "true"));
            }
            "sheet" => {
                let relation = tag.relation().and_then(|id| relations.get(&id));
                // Chart and dialog sheets hold no cells.
                if let Some(relation) = relation.filter(|relation| relation.kind == "worksheet") {
                    sheets.push(Sheet {
                        name: tag.get("name").unwrap_or_default(),
                        part: relation.target.clone(),
                        hidden: tag.get("state").is_some_and(|state| state != "visible"),
                    });
                }
            }
            _ => {}
        }
    }
    Ok((sheets, from_1904))
}

fn strings(xml: &mut Xml<'_>) -> Outcome<Strings> {
    let mut strings = Strings::default();
    let mut inside = false;
    while let Some(node) = xml.next()? {
        match node {
            Node::Open(tag) => match tag.name() {
                // Readings above words, not words.
                "rPh" => xml.skip()?,
                "t" => inside = true,
                _ => {}
            },
            Node::Text(text) if inside => strings.text.push_str(&text),
            Node::Text(_) => {}
            Node::Close(end) => match end.name() {
                "t" => inside = false,
                "si" => {
                    let end = u32::try_from(strings.text.len());
                    let end = end.map_err(|_| too_many_strings(strings.text.len()))?;
                    strings.ends.push(end);
                }
                _ => {}
            },
        }
    }
    Ok(strings)
}

fn too_many_strings(size: usize) -> Problem {
    Problem::limit("max_text_bytes", size as u64, u64::from(u32::MAX))
}

fn formats(xml: &mut Xml<'_>) -> Outcome<Vec<Format>> {
    let mut own = std::collections::HashMap::new();
    let mut formats = Vec::new();
    let mut inside = false;
    while let Some(node) = xml.next()? {
        match node {
            Node::Open(tag) => match tag.name() {
                "numFmt" => {
                    if let (Some(id), Some(code)) = (tag.number("numFmtId"), tag.get("formatCode"))
                    {
                        own.insert(id, numbers::of_code(&code));
                    }
                }
                "cellXfs" => inside = true,
                "xf" if inside => {
                    let id = tag.number("numFmtId").unwrap_or(0);
                    let format = own.get(&id).copied();
                    formats.push(format.unwrap_or_else(|| numbers::builtin(id)));
                }
                _ => {}
            },
            Node::Close(end) if end.name() == "cellXfs" => inside = false,
            _ => {}
        }
    }
    Ok(formats)
}

/// The cell being read.
struct Open {
    row: u32,
    column: u32,
    kind: String,
    format: Format,
    text: String,
}

fn cells(xml: &mut Xml<'_>, book: &Book, grid: &mut Grid) -> Outcome<()> {
    let (mut row, mut column) = (0u32, 0u32);
    let mut open: Option<Open> = None;
    let mut inside = false;
    while let Some(node) = xml.next()? {
        match node {
            Node::Open(tag) => match tag.name() {
                "row" => {
                    row = tag
                        .number("r")
                        .map_or(row, |number| number.saturating_sub(1));
                    column = 0;
                }
                "c" => {
                    let cell = open_cell(&tag, row, column, book);
                    (row, column) = (cell.row, cell.column);
                    open = Some(cell);
                }
                "rPh" | "f" | "extLst" => xml.skip()?,
                "v" | "t" => inside = open.is_some(),
                _ => {}
            },
            Node::Text(text) if inside => {
                if let Some(cell) = &mut open {
                    cell.text.push_str(&text);
                }
            }
            Node::Text(_) => {}
            Node::Close(end) => match end.name() {
                "v" | "t" => inside = false,
                "c" => {
                    if let Some(cell) = open.take() {
                        column = column.saturating_add(1);
                        close_cell(&cell, book, grid)?;
                    }
                }
                "row" => row = row.saturating_add(1),
                _ => {}
            },
        }
    }
    Ok(())
}

fn open_cell(tag: &Tag<'_>, row: u32, column: u32, book: &Book) -> Open {
    // A cell without an address stands behind the one before.
    let place = tag.get("r").and_then(|address| grid::place(&address));
    let (row, column) = place.unwrap_or((row, column));
    let style = tag
        .number("s")
        .and_then(|style| usize::try_from(style).ok());
    let format = style.and_then(|style| book.formats.get(style)).copied();
    Open {
        row,
        column,
        kind: tag.get("t").unwrap_or_default(),
        format: format.unwrap_or(Format::Plain),
        text: String::new(),
    }
}

fn close_cell(cell: &Open, book: &Book, grid: &mut Grid) -> Outcome<()> {
    let mut add = |value: &str| grid.add(cell.row, cell.column, value);
    if cell.text.is_empty() {
        return Ok(());
    }
    match cell.kind.as_str() {
        "s" => {
            let index = cell.text.trim().parse::<usize>().ok();
            match index.and_then(|index| book.strings.get(index)) {
                Some(value) => add(&unescaped(value)),
                None => Err(Problem::damaged(
                    "shared strings",
                    format!("no string {}", cell.text.trim()),
                )),
            }
        }
        "b" => add(if cell.text.trim() == "1" {
            "TRUE"
        } else {
            "FALSE"
        }),
        "" | "n" => add(&numbers::show(&cell.text, cell.format, book.from_1904)),
        // Strings of formulas, inline strings, errors, ISO dates.
        _ => add(&unescaped(&cell.text)),
    }
}

/// A carriage return inside a cell is written out as letters; the line feed behind it says the same.
fn unescaped(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains("_x000D_") {
        value.replace("_x000D_", "").into()
    } else {
        value.into()
    }
}
