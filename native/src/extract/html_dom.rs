//! Questions about a parsed page: names, attributes, rows, text of a subtree. Nothing here writes Markdown or changes a tree.
//!
//! Recursion is bounded by the depth that `html.rs` admits. Called by `html.rs` and `html_writer.rs`.

use std::rc::Rc;

use markup5ever_rcdom::{Node, NodeData};

/// <title>, or else the first <h1>.
pub fn title(document: &Rc<Node>) -> Option<String> {
    ["title", "h1"].iter().find_map(|wanted| {
        let node = first(document, wanted)?;
        let mut text = String::new();
        raw_text(&node, &mut text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!text.is_empty()).then_some(text)
    })
}

pub fn name(node: &Node) -> Option<&str> {
    match &node.data {
        NodeData::Element { name, .. } => Some(&name.local),
        _ => None,
    }
}

pub fn attribute(node: &Node, wanted: &str) -> Option<String> {
    let NodeData::Element { attrs, .. } = &node.data else {
        return None;
    };
    let attrs = attrs.borrow();
    let found = attrs.iter().find(|attr| &*attr.name.local == wanted)?;
    Some(found.value.to_string())
}

pub fn first(node: &Rc<Node>, wanted: &str) -> Option<Rc<Node>> {
    let mut open = vec![Rc::clone(node)];
    while let Some(node) = open.pop() {
        if name(&node) == Some(wanted) {
            return Some(node);
        }
        open.extend(node.children.borrow().iter().rev().cloned());
    }
    None
}

pub fn raw_text(node: &Rc<Node>, out: &mut String) {
    if let NodeData::Text { contents } = &node.data {
        out.push_str(&contents.borrow());
    }
    for child in node.children.borrow().iter() {
        raw_text(child, out);
    }
}

/// What a page says to machines, not to readers.
pub fn is_silent(tag: &str) -> bool {
    matches!(tag, "script" | "style" | "head" | "template" | "title")
}

pub fn is_block(tag: &str) -> bool {
    matches!(
        tag,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "dir"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "frameset"
            | "header"
            | "hgroup"
            | "html"
            | "iframe"
            | "legend"
            | "main"
            | "menu"
            | "nav"
            | "noframes"
            | "noscript"
            | "ol"
            | "optgroup"
            | "option"
            | "p"
            | "search"
            | "section"
            | "select"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "textarea"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "ul"
            | "video"
            | "audio"
            | "object"
    )
}

pub fn starts_blank(node: &Rc<Node>) -> bool {
    let children = node.children.borrow();
    children.first().is_some_and(|child| match &child.data {
        NodeData::Text { contents } => contents.borrow().starts_with([' ', '\n', '\t']),
        _ => false,
    })
}

pub fn first_block(node: &Rc<Node>) -> bool {
    node.children.borrow().iter().any(|child| {
        name(child).is_some_and(|tag| {
            is_block(tag) || tag == "pre" || tag.len() == 2 && tag.starts_with('h')
        }) || first_block(child)
    })
}

pub fn first_inner_table(node: &Rc<Node>) -> Option<Rc<Node>> {
    node.children
        .borrow()
        .iter()
        .find_map(|child| first(child, "table"))
}

/// Rows of this table in order, and what the parser lets stand between them besides rows (captions).
pub fn collect_rows(node: &Rc<Node>, rows: &mut Vec<Rc<Node>>, captions: &mut Vec<Rc<Node>>) {
    for child in node.children.borrow().iter() {
        match name(child) {
            Some("tr") => rows.push(Rc::clone(child)),
            Some("thead" | "tbody" | "tfoot") => collect_rows(child, rows, captions),
            Some("caption") => captions.push(Rc::clone(child)),
            _ => {}
        }
    }
}

pub fn preformatted(node: &Rc<Node>, out: &mut String) {
    match &node.data {
        NodeData::Text { contents } => out.push_str(&contents.borrow()),
        NodeData::Element { name, .. } if &*name.local == "br" => out.push('\n'),
        _ => {}
    }
    for child in node.children.borrow().iter() {
        preformatted(child, out);
    }
}

/// `class="language-sql"` on the block or on the <code> inside it.
pub fn language(node: &Rc<Node>) -> Option<String> {
    let inner = first(node, "code");
    [Some(Rc::clone(node)), inner]
        .into_iter()
        .flatten()
        .find_map(|node| {
            let class = attribute(&node, "class")?;
            let language = class
                .split(' ')
                .find_map(|class| class.strip_prefix("language-"))?;
            Some(language.to_owned())
        })
}
