//! Writes a parsed page as Markdown: headings, paragraphs, lists, tables, code fences, quotes, and all text once.
//!
//! Recursion is bounded: `html.rs` refuses deeper trees before it calls this. Text is not escaped (a model reads it, no
//! Markdown renderer does); attributes other than an image's alt text and a link's absolute address are left out.

use super::html_dom::{
    collect_rows, first, first_block, grid, is_block, is_grid, is_silent, language, preformatted,
    starts_blank,
};
use super::html_tree::Node;

pub fn markdown(document: &Node<'_>) -> String {
    let mut writer = Writer::default();
    writer.children(document);
    writer.finish()
}

#[derive(Default)]
struct Writer {
    out: String,
    /// What every new line begins with: list indents and quote marks.
    prefix: String,
    /// Newlines owed before the next text; more than two never stand together.
    newlines: usize,
    /// A space owed before the next text of the same line.
    space: bool,
    /// A list mark owed at the start of the next text.
    mark: Option<String>,
    inside: Inside,
}

/// Marks that stand already around what is being written. They never nest: it would say nothing more, and a writer that
/// looks at the content before it decides would take twice the time at every level.
#[derive(Default, Clone, Copy)]
struct Inside {
    emphasis: bool,
    code: bool,
    link: bool,
}

impl Writer {
    fn finish(self) -> String {
        let mut text = self.out;
        text.truncate(text.trim_end().len());
        text
    }

    fn children(&mut self, node: &Node<'_>) {
        for child in node.children() {
            self.node(child);
        }
    }

    fn node(&mut self, node: &Node<'_>) {
        if let Some(text) = node.text() {
            self.words(&text);
        } else if let Some(tag) = node.name() {
            self.element(node, tag);
        }
    }

    fn element(&mut self, node: &Node<'_>, tag: &str) {
        match tag {
            _ if is_silent(tag) => {}
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.heading(node, tag),
            "br" => self.newlines = self.newlines.max(1),
            "hr" => {
                self.block(2);
                self.raw("---");
                self.block(2);
            }
            "pre" | "listing" | "xmp" | "plaintext" => self.code_block(node),
            "code" | "kbd" | "samp" | "tt" if !self.inside.code => {
                let inside = Inside {
                    code: true,
                    ..self.inside
                };
                self.wrapped(node, "`", inside);
            }
            "strong" | "b" | "em" | "i" if !self.inside.emphasis && !self.inside.code => {
                let mark = if matches!(tag, "strong" | "b") {
                    "**"
                } else {
                    "*"
                };
                let inside = Inside {
                    emphasis: true,
                    ..self.inside
                };
                self.wrapped(node, mark, inside);
            }
            "a" if !self.inside.link => self.link(node),
            "img" => self.image(node),
            "ul" | "ol" | "menu" | "dir" => self.list(node, tag == "ol"),
            "blockquote" => self.indented(node, "> ", "> "),
            "dd" => {
                self.block(1);
                self.indented(node, "  ", "  ");
            }
            "dt" | "tr" | "option" | "summary" | "caption" | "legend" => {
                self.block(1);
                self.children(node);
                self.block(1);
            }
            "td" | "th" => {
                self.space = true;
                self.children(node);
                self.space = true;
            }
            "table" => self.table(node),
            _ if is_block(tag) => {
                self.block(2);
                self.children(node);
                self.block(2);
            }
            _ => self.children(node),
        }
    }

    /// Ends the line (1) or the paragraph (2).
    fn block(&mut self, newlines: usize) {
        self.space = false;
        if self.mark.is_some() {
            // An item's first paragraph stands beside its mark and is not set apart from the item before.
            return;
        }
        self.newlines = self.newlines.max(newlines);
    }

    /// Text as a browser shows it: runs of white space are one space.
    fn words(&mut self, text: &str) {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
        if text.starts_with(blank) {
            self.space = true;
        }
        let mut words = text.split(blank).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            self.raw(word);
            if words.peek().is_some() {
                self.space = true;
            }
        }
        if text.ends_with(blank) {
            self.space = true;
        }
    }

    /// Pays what is owed, then writes `text` as it is.
    fn raw(&mut self, text: &str) {
        self.settle();
        self.out.push_str(text);
    }

    fn settle(&mut self) {
        let fresh = self.out.is_empty();
        if self.newlines > 0 && !fresh {
            let blank_line = self.newlines >= 2;
            self.out.push('\n');
            if blank_line {
                let quote = self.prefix.trim_end();
                self.out.push_str(quote);
                self.out.push('\n');
            }
        }
        if self.newlines > 0 || fresh {
            match self.mark.take() {
                Some(mark) => {
                    let indent = self.prefix.len().saturating_sub(mark.len());
                    self.out.push_str(&self.prefix[..indent]);
                    self.out.push_str(&mark);
                }
                None => self.out.push_str(&self.prefix),
            }
        } else if self.space && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
        self.newlines = 0;
        self.space = false;
    }

    fn heading(&mut self, node: &Node<'_>, tag: &str) {
        let level = usize::from(tag.as_bytes()[1] - b'0');
        let text = self.inline(node);
        if text.is_empty() {
            return;
        }
        self.block(2);
        self.raw(&"#".repeat(level));
        self.raw(" ");
        self.raw(&text);
        self.block(2);
    }

    /// The children as one line of text.
    fn inline(&self, node: &Node<'_>) -> String {
        let mut inner = Writer {
            inside: self.inside,
            ..Writer::default()
        };
        inner.children(node);
        inner
            .finish()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Emphasis and inline code. Block content inside is written without marks: marks across lines mean nothing.
    fn wrapped(&mut self, node: &Node<'_>, mark: &str, inside: Inside) {
        let mut inner = Writer {
            inside,
            ..Writer::default()
        };
        inner.children(node);
        let trailing = inner.space;
        let text = inner.finish();
        self.space |= starts_blank(node);
        if text.contains(['\n', '`']) {
            let outer = std::mem::replace(&mut self.inside, inside);
            self.children(node);
            self.inside = outer;
        } else if !text.is_empty() {
            self.raw(mark);
            self.out.push_str(&text);
            self.out.push_str(mark);
        }
        self.space |= trailing;
    }

    /// A relative address means nothing away from its site, so only absolute ones are kept.
    fn link(&mut self, node: &Node<'_>) {
        let target = node.attribute("href").filter(|href| {
            (href.starts_with("http://")
                || href.starts_with("https://")
                || href.starts_with("mailto:"))
                && !href.contains([' ', '\n', ')'])
        });
        let outer = self.inside;
        self.inside.link = true;
        let text = match &target {
            Some(_) if !first_block(node) => self.inline(node),
            _ => String::new(),
        };
        if text.is_empty() {
            self.children(node);
        }
        self.inside = outer;
        let Some(target) = target.filter(|_| !text.is_empty()) else {
            return;
        };
        self.space |= starts_blank(node);
        if text == target || target.strip_prefix("mailto:") == Some(&text) {
            self.raw(&text);
        } else {
            self.raw(&format!("[{text}]({target})"));
        }
    }

    fn image(&mut self, node: &Node<'_>) {
        if let Some(alt) = node.attribute("alt") {
            self.words(&alt);
        }
    }

    fn list(&mut self, node: &Node<'_>, ordered: bool) {
        let nested = self.prefix.ends_with(' ');
        self.block(if nested { 1 } else { 2 });
        let mut number = node
            .attribute("start")
            .and_then(|start| start.parse::<i64>().ok())
            .unwrap_or(1);
        for child in node.children() {
            if child.name() != Some("li") {
                self.node(child);
                continue;
            }
            let mark = if ordered {
                format!("{number}. ")
            } else {
                "- ".to_owned()
            };
            number = number.saturating_add(1);
            self.block(1);
            self.indented(child, &mark, &" ".repeat(mark.len()));
            self.block(1);
        }
        self.block(if nested { 1 } else { 2 });
    }

    /// Children whose first line begins with `mark` and whose other lines begin with `indent` (of equal length).
    fn indented(&mut self, node: &Node<'_>, mark: &str, indent: &str) {
        let newlines = if mark == "> " { 2 } else { 1 };
        self.block(newlines);
        let (before, outer) = (self.prefix.len(), self.mark.take());
        // A list that opens another item at once keeps the outer mark on the same line.
        let mark = format!("{}{mark}", outer.unwrap_or_default());
        self.prefix.push_str(indent);
        self.mark = Some(mark);
        self.children(node);
        self.mark = None;
        self.prefix.truncate(before);
        self.block(newlines);
    }

    fn code_block(&mut self, node: &Node<'_>) {
        let mut code = String::new();
        preformatted(node, &mut code);
        let code = code.trim_matches('\n').trim_end();
        if code.is_empty() {
            return;
        }
        let mut fence = "```".to_owned();
        while code.contains(&fence) {
            fence.push('`');
        }
        self.block(2);
        self.raw(&fence);
        self.out.push_str(&language(node).unwrap_or_default());
        for line in code.split('\n') {
            self.block(1);
            self.raw(line);
        }
        self.block(1);
        self.raw(&fence);
        self.block(2);
    }

    /// A table of data becomes rows of `| a | b |`; one that is used for layout is written as text.
    fn table(&mut self, node: &Node<'_>) {
        let mut rows = Vec::new();
        let mut captions = Vec::new();
        collect_rows(node, &mut rows, &mut captions);
        let data =
            (first(node, "th").is_some() || is_grid(&rows)) && first(node, "table").is_none();
        self.block(2);
        if !data {
            self.children(node);
            self.block(2);
            return;
        }
        for caption in &captions {
            self.node(caption);
            self.block(2);
        }
        let mut ruled = false;
        for row in grid(&rows) {
            let text = |cell: Option<&Node<'_>>| {
                cell.map_or_else(String::new, |cell| self.inline(cell).replace('|', "\\|"))
            };
            let cells: Vec<String> = row.into_iter().map(text).collect();
            if cells.iter().all(String::is_empty) {
                continue;
            }
            self.block(1);
            self.raw(&format!("| {} |", cells.join(" | ")));
            if !ruled {
                ruled = true;
                self.block(1);
                self.raw(&format!("|{}", " --- |".repeat(cells.len())));
            }
        }
        self.block(2);
    }
}
