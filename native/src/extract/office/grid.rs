//! The filled cells of a sheet, in reading order, and their Markdown table: what is empty takes no memory and no text.
//!
//! Empty rows and columns are left out wherever they stand. A sheet with few cells far apart is written as lines of
//! `A1: value` instead, because its table would be bars alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::blocks::push_cell;
use super::{Outcome, Problem};

/// A table smaller than this is a table, however empty.
const SPARSE_FROM: u64 = 4096;
/// Less than one filled cell in this many is sparse.
const SPARSE_SHARE: u64 = 16;

pub struct Grid {
    text: String,
    cells: Vec<Cell>,
    columns: BTreeSet<u32>,
    limit: u64,
    /// Text of the sheets before this one.
    before: u64,
    rows: u64,
    last_row: Option<u32>,
}

struct Cell {
    row: u32,
    column: u32,
    /// Where its text ends; it begins where the cell before ends.
    end: u32,
}

impl Grid {
    /// `before`: bytes of text already written, which count too.
    pub fn new(text_bytes: u64, before: usize) -> Grid {
        Grid {
            text: String::new(),
            cells: Vec::new(),
            columns: BTreeSet::new(),
            limit: text_bytes.min(u64::from(u32::MAX)),
            before: before as u64,
            rows: 0,
            last_row: None,
        }
    }

    /// Adds a cell; rows and, in a row, columns come in ascending order from every writer, and are sorted where not.
    pub fn add(&mut self, row: u32, column: u32, value: &str) -> Outcome<()> {
        let value = value.trim();
        if value.is_empty() {
            return Ok(());
        }
        self.text.push_str(value);
        // Its bar and two blanks come with it.
        let size = self.before + self.text.len() as u64 + 3 * (self.cells.len() as u64 + 1);
        if size > self.limit {
            return Err(Problem::limit("max_text_bytes", size, self.limit));
        }
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.cells.push(Cell { row, column, end });
        self.columns.insert(column);
        if self.last_row != Some(row) {
            self.last_row = Some(row);
            self.rows += 1;
        }
        Ok(())
    }

    /// Appends the sheet to `out`; false where it is empty.
    pub fn write(&self, out: &mut String) -> Outcome<bool> {
        if self.cells.is_empty() {
            return Ok(false);
        }
        let cells = self.sorted();
        let area = self.rows * self.columns.len() as u64;
        if area > SPARSE_FROM && area / SPARSE_SHARE > cells.len() as u64 {
            self.write_lines(&cells, out)?;
        } else {
            self.write_table(&cells, out)?;
        }
        Ok(true)
    }

    fn sorted(&self) -> Vec<(u32, u32, &str)> {
        let mut start = 0;
        let mut cells: Vec<(u32, u32, &str)> = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            let end = cell.end as usize;
            cells.push((cell.row, cell.column, &self.text[start..end]));
            start = end;
        }
        if !cells.is_sorted_by_key(|cell| (cell.0, cell.1)) {
            cells.sort_by_key(|cell| (cell.0, cell.1));
        }
        cells
    }

    fn write_table(&self, cells: &[(u32, u32, &str)], out: &mut String) -> Outcome<()> {
        let columns: Vec<u32> = self.columns.iter().copied().collect();
        for (number, row) in cells.chunk_by(|a, b| a.0 == b.0).enumerate() {
            if number > 0 {
                out.push('\n');
            }
            out.push('|');
            let mut cells = row.iter().peekable();
            for column in &columns {
                let mut value = "";
                // A second cell of one place is damage; its text would move the row, so the last one stands.
                while let Some((_, _, next)) = cells.next_if(|cell| cell.1 == *column) {
                    value = next;
                }
                push_cell(value, out);
            }
            if number == 0 {
                out.push_str("\n|");
                out.push_str(&" --- |".repeat(columns.len()));
            }
            self.check(out)?;
        }
        Ok(())
    }

    fn write_lines(&self, cells: &[(u32, u32, &str)], out: &mut String) -> Outcome<()> {
        for (number, (row, column, value)) in cells.iter().enumerate() {
            if number > 0 {
                out.push('\n');
            }
            let _ = write!(out, "- {}{}: ", letters(*column), u64::from(*row) + 1);
            out.extend(
                value
                    .chars()
                    .map(|char| if char == '\n' { ' ' } else { char }),
            );
            self.check(out)?;
        }
        Ok(())
    }

    fn check(&self, out: &str) -> Outcome<()> {
        if out.len() as u64 > self.limit {
            return Err(Problem::limit(
                "max_text_bytes",
                out.len() as u64,
                self.limit,
            ));
        }
        Ok(())
    }
}

/// 0 is A, 26 is AA.
pub fn letters(column: u32) -> String {
    let mut digits = Vec::new();
    let mut rest = u64::from(column) + 1;
    while rest > 0 {
        let digit = (rest - 1) % 26;
        digits.push(char::from(b'A' + u8::try_from(digit).unwrap_or(0)));
        rest = (rest - 1) / 26;
    }
    digits.iter().rev().collect()
}

/// "BC12" as row 11, column 54; None where it is no address.
pub fn place(address: &str) -> Option<(u32, u32)> {
    let digits = address.find(|char: char| char.is_ascii_digit())?;
    let (letters, number) = address.split_at(digits);
    if letters.is_empty() || letters.len() > 4 {
        return None;
    }
    let mut column = 0u32;
    for letter in letters.chars() {
        let letter = letter.to_ascii_uppercase();
        if !letter.is_ascii_uppercase() {
            return None;
        }
        column = column * 26 + (u32::from(letter) - u32::from('A') + 1);
    }
    Some((number.parse::<u32>().ok()?.checked_sub(1)?, column - 1))
}
