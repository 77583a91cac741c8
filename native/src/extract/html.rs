//! HTML to Markdown text: parse with html5ever under a depth guard, then write every text node out once.
//!
//! The writer is our own because the ready converters lose text (row headers inside a table body) or add what a model
//! must read for nothing (backslashes before every underscore, cells padded to the column's width, addresses of relative
//! links). It keeps the whole page: main-content guessing loses reference pages. It runs no script and fetches nothing.
//! Called by `extract/mod.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{ParseOpts, parse_document};
use typed_arena::Arena;

use super::html_tree::{Node, Sink};
use super::{html_dom, html_writer};

/// A page as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub title: Option<String>,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HtmlError {
    /// Elements nested deeper than the limit; holds the depth at which reading stopped.
    TooDeep(usize),
    /// The parser gave up; a bug in it, kept to this one document.
    Parser(String),
}

/// Bytes handed to the parser between two looks at the depth. Parsing is quadratic in the depth, so a page of a million
/// open tags must be stopped while it is read and not after.
const GUARD_STEP: usize = 4096;

pub fn convert(html: &str, max_depth: usize) -> Result<Page, HtmlError> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let nodes = Arena::new();
        let document = parse(html, &nodes, max_depth)?;
        let depth = depth_of(document, max_depth);
        if depth > max_depth {
            return Err(HtmlError::TooDeep(depth));
        }
        Ok(Page {
            title: html_dom::title(document),
            text: html_writer::markdown(document),
        })
    }));
    outcome.unwrap_or_else(|panic| {
        let detail = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(HtmlError::Parser(detail.to_owned()))
    })
}

fn parse<'a>(
    html: &str,
    nodes: &'a Arena<Node<'a>>,
    max_depth: usize,
) -> Result<&'a Node<'a>, HtmlError> {
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts {
            // Without scripts a reader sees what stands in <noscript>.
            scripting_enabled: false,
            ..TreeBuilderOpts::default()
        },
        ..ParseOpts::default()
    };
    let mut parser = parse_document(Sink::new(nodes), options);
    let mut rest = html;
    while !rest.is_empty() {
        let mut end = rest.len().min(GUARD_STEP);
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (piece, tail) = rest.split_at(end);
        parser.process(StrTendril::from_slice(piece));
        rest = tail;
        let depth = open_depth(parser.tokenizer.sink.sink.document);
        if depth > max_depth {
            return Err(HtmlError::TooDeep(depth));
        }
    }
    Ok(parser.finish())
}

/// Depth of the place where the parser is now: along the last children; and beside each table that is last, because what
/// may not stand in a table is put before it.
fn open_depth<'a>(document: &'a Node<'a>) -> usize {
    let mut deepest = 0;
    let mut open = vec![(document, 0usize)];
    while let Some((node, depth)) = open.pop() {
        deepest = deepest.max(depth);
        for child in node.children_backwards() {
            let Some(tag) = child.name() else { continue };
            open.push((child, depth + 1));
            if tag != "table" {
                break;
            }
        }
    }
    deepest
}

/// Deepest nesting of elements, without recursion; stops soon after the limit is passed.
fn depth_of<'a>(document: &'a Node<'a>, max_depth: usize) -> usize {
    let mut deepest = 0;
    let mut open = vec![(document, 0usize)];
    while let Some((node, depth)) = open.pop() {
        deepest = deepest.max(depth);
        if deepest > max_depth {
            break;
        }
        let elements = node.children().filter(|child| child.name().is_some());
        open.extend(elements.map(|child| (child, depth + 1)));
    }
    deepest
}
