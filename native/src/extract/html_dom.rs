//! Questions about a parsed page: names, attributes, rows, text of a subtree. Nothing here writes Markdown or changes a tree.
//!
//! Recursion is bounded by the depth that `html.rs` admits. Called by `html.rs` and `html_writer.rs`.

use super::html_tree::Node;

/// <title>, or else the first <h1>.
pub fn title(document: &Node<'_>) -> Option<String> {
    ["title", "h1"].iter().find_map(|wanted| {
        let mut text = String::new();
        raw_text(first(document, wanted)?, &mut text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!text.is_empty()).then_some(text)
    })
}

/// Below the node, in the order of the page.
pub fn first<'a>(node: &Node<'a>, wanted: &str) -> Option<&'a Node<'a>> {
    let mut open: Vec<_> = node.children_backwards().collect();
    while let Some(node) = open.pop() {
        if node.name() == Some(wanted) {
            return Some(node);
        }
        open.extend(node.children_backwards());
    }
    None
}

pub fn raw_text(node: &Node<'_>, out: &mut String) {
    if let Some(text) = node.text() {
        out.push_str(&text);
    }
    for child in node.children() {
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

pub fn starts_blank(node: &Node<'_>) -> bool {
    let text = node.children().next().and_then(Node::text);
    text.is_some_and(|text| text.starts_with([' ', '\n', '\t']))
}

pub fn first_block(node: &Node<'_>) -> bool {
    node.children().any(|child| {
        child.name().is_some_and(|tag| {
            is_block(tag) || tag == "pre" || tag.len() == 2 && tag.starts_with('h')
        }) || first_block(child)
    })
}

/// Rows of this table in order, and what the parser lets stand between them besides rows (captions).
pub fn collect_rows<'a>(
    node: &Node<'a>,
    rows: &mut Vec<&'a Node<'a>>,
    captions: &mut Vec<&'a Node<'a>>,
) {
    for child in node.children() {
        match child.name() {
            Some("tr") => rows.push(child),
            Some("thead" | "tbody" | "tfoot") => collect_rows(child, rows, captions),
            Some("caption") => captions.push(child),
            _ => {}
        }
    }
}

pub fn preformatted(node: &Node<'_>, out: &mut String) {
    if let Some(text) = node.text() {
        out.push_str(&text);
    } else if node.name() == Some("br") {
        out.push('\n');
    }
    for child in node.children() {
        preformatted(child, out);
    }
}

/// `class="language-sql"` on the block or on the <code> inside it.
pub fn language(node: &Node<'_>) -> Option<String> {
    let candidates = [Some(node), first(node, "code")];
    candidates.into_iter().flatten().find_map(|node| {
        let class = node.attribute("class")?;
        let language = class
            .split(' ')
            .find_map(|class| class.strip_prefix("language-"))?;
        Some(language.to_owned())
    })
}
