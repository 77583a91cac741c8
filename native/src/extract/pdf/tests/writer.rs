//! A writer of small PDFs: pages of lines in one font, an information dictionary, and letters for the glyphs A, B, C ...

use std::fmt::Write as _;

#[derive(Default)]
pub struct Pdf {
    /// None: a page whose object is missing.
    pages: Vec<Option<Vec<String>>>,
    info: Vec<(String, String)>,
    letters: Vec<String>,
}

const CATALOG: usize = 1;
const TREE: usize = 2;
const FONT: usize = 3;
const MAP: usize = 4;
const INFO: usize = 5;
const FIRST_PAGE: usize = 6;

impl Pdf {
    pub fn new() -> Pdf {
        Pdf::default()
    }

    pub fn page(mut self, lines: &[&str]) -> Pdf {
        self.pages
            .push(Some(lines.iter().map(ToString::to_string).collect()));
        self
    }

    /// The page tree counts one page more than there is.
    pub fn lost_page(&mut self) {
        self.pages.push(None);
    }

    pub fn info(mut self, key: &str, value: &str) -> Pdf {
        self.info.push((key.to_owned(), value.to_owned()));
        self
    }

    /// What the glyphs A, B, C ... stand for.
    pub fn mapped(mut self, letters: &[&str]) -> Pdf {
        self.letters = letters.iter().map(ToString::to_string).collect();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let kids: Vec<String> = (0..self.pages.len())
            .map(|page| format!("{} 0 R", FIRST_PAGE + 2 * page))
            .collect();
        let map = if self.letters.is_empty() {
            String::new()
        } else {
            format!("/ToUnicode {MAP} 0 R")
        };
        let mut info = String::new();
        for (key, value) in &self.info {
            let _ = write!(info, "/{key} <FEFF{}> ", hex(value));
        }
        let mut objects = vec![
            (CATALOG, format!("<< /Type /Catalog /Pages {TREE} 0 R >>")),
            (
                TREE,
                format!(
                    "<< /Type /Pages /Kids [{}] /Count {} >>",
                    kids.join(" "),
                    kids.len()
                ),
            ),
            (
                FONT,
                format!("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica {map} >>"),
            ),
            (MAP, stream(&self.cmap())),
            (INFO, format!("<< {info}>>")),
        ];
        for (number, page) in self.pages.iter().enumerate() {
            let (place, content) = (FIRST_PAGE + 2 * number, FIRST_PAGE + 2 * number + 1);
            let Some(lines) = page else { continue };
            let dictionary = format!(
                "<< /Type /Page /Parent {TREE} 0 R /MediaBox [0 0 612 792] /Contents {content} 0 R \
                 /Resources << /Font << /F {FONT} 0 R >> >> >>"
            );
            let mut shown = String::new();
            for line in lines {
                let _ = writeln!(shown, "({line}) Tj T*");
            }
            objects.push((place, dictionary));
            objects.push((
                content,
                stream(&format!("BT /F 12 Tf 14 TL 72 700 Td\n{shown}ET")),
            ));
        }
        file(&objects)
    }

    fn cmap(&self) -> String {
        let mut pairs = String::new();
        for (glyph, letter) in (b'A'..).zip(&self.letters) {
            let _ = writeln!(pairs, "<{glyph:02X}> <{}>", hex(letter));
        }
        format!(
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n\
             1 begincodespacerange <00> <FF> endcodespacerange\n\
             {} beginbfchar\n{pairs}endbfchar\nendcmap end end",
            self.letters.len()
        )
    }
}

fn hex(text: &str) -> String {
    let mut digits = String::new();
    for unit in text.encode_utf16() {
        let _ = write!(digits, "{unit:04X}");
    }
    digits
}

fn stream(content: &str) -> String {
    format!(
        "<< /Length {} >>\nstream\n{content}\nendstream",
        content.len()
    )
}

/// Objects in the order of their numbers; a missing number is a free entry of the table.
fn file(objects: &[(usize, String)]) -> Vec<u8> {
    let mut out = String::from("%PDF-1.7\n");
    let mut table = String::from("0000000000 65535 f \n");
    let mut next = 1;
    for (number, body) in objects {
        while next < *number {
            table.push_str("0000000000 00000 f \n");
            next += 1;
        }
        let _ = writeln!(table, "{:010} 00000 n ", out.len());
        let _ = write!(out, "{number} 0 obj\n{body}\nendobj\n");
        next += 1;
    }
    let start = out.len();
    let _ = write!(
        out,
        "xref\n0 {next}\n{table}trailer\n<< /Size {next} /Root {CATALOG} 0 R /Info {INFO} 0 R >>\nstartxref\n{start}\n%%EOF\n"
    );
    out.into_bytes()
}
