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

fn cells_of<'a>(row: &Node<'a>) -> impl Iterator<Item = &'a Node<'a>> {
    let cell = |node: &&Node<'a>| matches!(node.name(), Some("td" | "th"));
    row.children().filter(cell)
}

/// Without header cells it is still data: two or more rows of equally many cells, two or more, each of them one line. Who
/// lays a page out with a table has one row, or blocks in the cells.
pub fn is_grid(rows: &[&Node<'_>]) -> bool {
    let width = rows.first().map_or(0, |row| cells_of(row).count());
    let line = |row: &Node<'_>| !row.children().any(first_block) && first(row, "br").is_none();
    rows.len() >= 2
        && width >= 2
        && rows
            .iter()
            .all(|row| cells_of(row).count() == width && line(row))
}

/// The cells of each row in their columns; None stands where a cell reaches to from its left or from above. A page cannot
/// make much of little with spans: there are at most four such places for each cell, then cells move up.
pub fn grid<'a>(rows: &[&'a Node<'a>]) -> Vec<Vec<Option<&'a Node<'a>>>> {
    let span = |cell: &Node<'_>, name: &str, most: usize| {
        let given = cell
            .attribute(name)
            .and_then(|text| text.trim().parse().ok());
        given.unwrap_or(1).clamp(1, most)
    };
    let mut spare = 4 * rows.iter().map(|row| cells_of(row).count()).sum::<usize>();
    // Of each column the row up to which a cell reaches down.
    let mut reached: Vec<usize> = Vec::new();
    let mut out = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        let mut line = Vec::new();
        let mut cells = cells_of(row);
        loop {
            let covered = reached.get(line.len()).is_some_and(|&to| number < to);
            if covered && spare > 0 {
                spare -= 1;
                line.push(None);
                continue;
            }
            let Some(cell) = cells.next() else { break };
            // The web's own limits.
            let across = span(cell, "colspan", 1000).min(spare + 1);
            spare -= across - 1;
            let to = number + span(cell, "rowspan", 65534);
            let end = line.len() + across;
            if reached.len() < end {
                reached.resize(end, 0);
            }
            reached[line.len()..end].fill(to);
            line.push(Some(cell));
            line.resize(end, None);
        }
        out.push(line);
    }
    out
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
