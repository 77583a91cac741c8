//! XHTML made readable for an HTML parser: `<a id="x"/>` closes in the one and stays open in the other.
//!
//! A scan over tags, not a parse; text, comments and attributes are copied as they are. Called by epub.

/// Elements that HTML closes by itself.
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Writes out the end tag of every element that is closed in its start tag.
pub fn opened(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = tag_end(rest);
        let tag = &rest[..end];
        rest = &rest[end..];
        match self_closed(tag) {
            Some((name, body)) => {
                out.push_str(body);
                out.push_str("></");
                out.push_str(name);
                out.push('>');
            }
            None => out.push_str(tag),
        }
    }
    out.push_str(rest);
    out
}

/// Where the markup that begins here ends; the end of the text if nowhere.
fn tag_end(text: &str) -> usize {
    for (open, close) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")] {
        if text.starts_with(open) {
            let end = text.find(close).map(|at| at + close.len());
            return end.unwrap_or(text.len());
        }
    }
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') if at > 1 => quote = Some(byte),
            (None, b'>') => return at + 1,
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// Name and tag without its end, of a tag that HTML would leave open.
fn self_closed(tag: &str) -> Option<(&str, &str)> {
    let body = tag.strip_suffix("/>")?;
    let name = body.strip_prefix('<')?;
    let name = name.split([' ', '\t', '\n', '\r']).next()?;
    let plain = name
        .chars()
        .all(|char| char.is_ascii_alphanumeric() || char == ':');
    if name.is_empty() || !plain || VOID.contains(&name.to_ascii_lowercase().as_str()) {
        return None;
    }
    Some((name, body))
}
