//! Paragraphs, list items and tables on their way to Markdown, with one count of text that stops at the limit.
//!
//! Nesting is a stack and never recursion: a cell holds blocks, a table that closes becomes one block of the cell around it,
//! and what stands inside another table is flattened. Called by docx, odt and slides.

use super::{Outcome, Problem};

/// Word stops at 63 columns, Writer and Calc at 16,384; a span may state any number.
const SPAN_MAX: u32 = 1024;
/// An empty cell is not text and still takes memory.
const CELLS_MAX: u64 = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Heading(u8, String),
    Text(String),
    Item {
        depth: usize,
        /// "-" or "3."
        mark: String,
        text: String,
    },
    Table(Vec<Vec<String>>),
}

type Cell = Vec<Block>;

#[derive(Default)]
struct Table {
    rows: Vec<Vec<Cell>>,
}

/// Where the next block goes: a cell, a footnote, or the document.
enum Level {
    Blocks(Vec<Block>),
    Table(Table),
}

pub struct Blocks {
    levels: Vec<Level>,
    size: u64,
    limit: u64,
    cells: u64,
}

impl Blocks {
    pub fn new(text_bytes: u64) -> Blocks {
        Blocks {
            levels: vec![Level::Blocks(Vec::new())],
            size: 0,
            limit: text_bytes,
            cells: 0,
        }
    }

    /// Counts text before it is kept.
    pub fn count(&mut self, bytes: usize) -> Outcome<()> {
        self.size += bytes as u64;
        if self.size > self.limit {
            return Err(Problem::limit("max_text_bytes", self.size, self.limit));
        }
        Ok(())
    }

    /// Takes a block whose text has been counted.
    pub fn push(&mut self, block: Block) {
        match self.levels.last_mut() {
            Some(Level::Blocks(blocks)) => blocks.push(block),
            // Text between rows: damaged input, kept as a row of its own.
            Some(Level::Table(table)) => table.rows.push(vec![vec![block]]),
            None => self.levels.push(Level::Blocks(vec![block])),
        }
    }

    fn push_all(&mut self, blocks: Vec<Block>) {
        for block in blocks {
            self.push(block);
        }
    }

    pub fn open_table(&mut self) {
        self.levels.push(Level::Table(Table::default()));
    }

    pub fn open_row(&mut self) {
        if let Some(Level::Table(table)) = self.levels.last_mut() {
            table.rows.push(Vec::new());
        }
    }

    pub fn drop_row(&mut self) {
        if let Some(Level::Table(table)) = self.levels.last_mut() {
            table.rows.pop();
        }
    }

    pub fn open_cell(&mut self) {
        self.levels.push(Level::Blocks(Vec::new()));
    }

    /// `span`: columns that the cell covers; all but the first stay empty.
    pub fn close_cell(&mut self, span: u32) -> Outcome<()> {
        let span = span.clamp(1, SPAN_MAX);
        self.cells += u64::from(span);
        if self.cells > CELLS_MAX {
            return Err(Problem::limit("max_table_cells", self.cells, CELLS_MAX));
        }
        let cell = self.take();
        if let Some(Level::Table(table)) = self.levels.last_mut()
            && let Some(row) = table.rows.last_mut()
        {
            row.push(cell);
            row.extend((1..span).map(|_| Cell::new()));
        } else {
            self.push_all(cell);
        }
        Ok(())
    }

    pub fn close_table(&mut self) {
        if !matches!(self.levels.last(), Some(Level::Table(_))) {
            return;
        }
        let Some(Level::Table(mut table)) = self.levels.pop() else {
            return;
        };
        table
            .rows
            .retain(|row| row.iter().any(|cell| !cell.is_empty()));
        // A table of one cell is a frame around text, not a table.
        if let [row] = table.rows.as_mut_slice()
            && let [cell] = row.as_mut_slice()
        {
            let cell = std::mem::take(cell);
            self.push_all(cell);
            return;
        }
        if !table.rows.is_empty() {
            let flat = |row: &Vec<Cell>| row.iter().map(|cell| flatten(cell)).collect();
            self.push(Block::Table(table.rows.iter().map(flat).collect()));
        }
    }

    /// Opens a place apart from the text around it: a footnote, a slide.
    pub fn open_capture(&mut self) {
        self.open_cell();
    }

    pub fn close_capture(&mut self) -> Vec<Block> {
        self.take()
    }

    pub fn finish(mut self) -> Vec<Block> {
        // Only damaged nesting leaves levels open; their text goes where it stands.
        while self.levels.len() > 1 {
            if matches!(self.levels.last(), Some(Level::Table(_))) {
                self.close_table();
            } else {
                let blocks = self.take();
                self.push_all(blocks);
            }
        }
        self.take()
    }

    fn take(&mut self) -> Vec<Block> {
        if !matches!(self.levels.last(), Some(Level::Blocks(_))) {
            return Vec::new();
        }
        match self.levels.pop() {
            Some(Level::Blocks(blocks)) => blocks,
            _ => Vec::new(),
        }
    }
}

/// Blocks on one line: a cell of a table, or a footnote.
pub fn flatten(blocks: &[Block]) -> String {
    let mut line = String::new();
    for block in blocks {
        if !line.is_empty() {
            line.push(' ');
        }
        match block {
            Block::Heading(_, text) | Block::Text(text) => push_line(&mut line, text),
            Block::Item { mark, text, .. } => {
                line.push_str(mark);
                line.push(' ');
                push_line(&mut line, text);
            }
            Block::Table(rows) => {
                let rows: Vec<String> = rows.iter().map(|row| row.join(", ")).collect();
                line.push_str(&rows.join("; "));
            }
        }
    }
    line
}

fn push_line(line: &mut String, text: &str) {
    for (index, piece) in text.lines().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        line.push_str(piece.trim());
    }
}

/// Appends blocks as Markdown, one blank line between them and none between items.
pub fn write(blocks: &[Block], out: &mut String) {
    let mut after_item = false;
    for block in blocks {
        let item = matches!(block, Block::Item { .. });
        if !out.is_empty() {
            out.push_str(if item && after_item { "\n" } else { "\n\n" });
        }
        after_item = item;
        match block {
            Block::Heading(level, text) => {
                out.extend(std::iter::repeat_n('#', usize::from(*level).clamp(1, 6)));
                out.push(' ');
                push_line(out, text);
            }
            Block::Text(text) => out.push_str(text),
            Block::Item { depth, mark, text } => {
                let indent = "  ".repeat((*depth).min(16));
                for (index, line) in text.lines().enumerate() {
                    if index > 0 {
                        out.push('\n');
                    }
                    out.push_str(&indent);
                    out.push_str(if index == 0 { mark } else { " " });
                    out.push(' ');
                    out.push_str(line);
                }
            }
            Block::Table(rows) => write_table(rows, out),
        }
    }
}

fn write_table(rows: &[Vec<String>], out: &mut String) {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push('|');
        for cell in row {
            push_cell(cell, out);
        }
        if index == 0 {
            // A reader of Markdown drops what stands right of the header.
            out.push_str(&" |".repeat(width - row.len()));
            out.push_str("\n|");
            out.push_str(&" --- |".repeat(width));
        }
    }
}

/// One cell of a Markdown table and the bar behind it.
pub fn push_cell(cell: &str, out: &mut String) {
    out.push(' ');
    for char in cell.chars() {
        match char {
            '|' => out.push_str("\\|"),
            '\n' | '\r' => out.push(' '),
            char => out.push(char),
        }
    }
    out.push_str(if cell.is_empty() { "|" } else { " |" });
}
