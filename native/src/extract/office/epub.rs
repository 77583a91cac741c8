//! E-books (epub 2 and 3): the chapters in the order of the spine, through the HTML converter.
//!
//! The page of contents that a book carries for readers' programs is left out. Fonts may be enciphered; a chapter may not.

use std::collections::{HashMap, HashSet};

use super::container::Container;
use super::package::{described, join};
use super::xhtml;
use super::xml::{self, Node, Xml};
use super::{Converted, OfficeLimits, Outcome, Problem, Span, one_line};
use crate::extract::encoding;
use crate::extract::html::{self, HtmlError, Page};

const CONTAINER: &str = "META-INF/container.xml";
const ENCRYPTION: &str = "META-INF/encryption.xml";

#[derive(Default)]
struct Item {
    path: String,
    nav: bool,
    ncx: bool,
    page: bool,
}

pub fn epub(bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    let mut container = Container::open(bytes, limits)?;
    let book = package_path(&mut container, limits)?;
    let text = xml::decode(&book, container.need(&book)?)?;
    let folder = book.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (items, spine) = contents(&mut Xml::new(&book, &text, limits), folder)?;
    let (title, metadata) = described(&mut Xml::new(&book, &text, limits))?;
    let enciphered = enciphered(&mut container, limits)?;
    let names = chapter_names(&mut container, &items, limits)?;
    let mut converted = Converted {
        title,
        metadata,
        ..Converted::default()
    };
    let mut read = HashSet::new();
    for id in &spine {
        let Some(item) = items.get(id).filter(|item| item.page && !item.nav) else {
            continue;
        };
        // A page that the spine names twice is still one page.
        if !read.insert(item.path.as_str()) {
            continue;
        }
        if enciphered.contains(&item.path) {
            return Err(Problem::Encrypted);
        }
        let page = chapter(&mut container, &item.path, limits)?;
        let name = names.get(&item.path).cloned();
        append(&mut converted, &page, name, limits)?;
    }
    Ok(converted)
}

fn package_path(container: &mut Container<'_>, limits: &OfficeLimits) -> Outcome<String> {
    let text = xml::decode(CONTAINER, container.need(CONTAINER)?)?;
    let mut xml = Xml::new(CONTAINER, &text, limits);
    while let Some(node) = xml.next()? {
        if let Node::Open(tag) = node
            && tag.name() == "rootfile"
            && let Some(path) = tag.get("full-path")
        {
            return Ok(path);
        }
    }
    Err(Problem::damaged(CONTAINER, "names no package"))
}

fn contents(xml: &mut Xml<'_>, folder: &str) -> Outcome<(HashMap<String, Item>, Vec<String>)> {
    let mut items = HashMap::new();
    let mut spine = Vec::new();
    while let Some(node) = xml.next()? {
        let Node::Open(tag) = node else { continue };
        match tag.name() {
            "item" => {
                let kind = tag.get("media-type").unwrap_or_default();
                let properties = tag.get("properties").unwrap_or_default();
                let item = Item {
                    path: join(folder, &decoded(&tag.get("href").unwrap_or_default())),
                    nav: properties.split_whitespace().any(|word| word == "nav"),
                    ncx: kind == "application/x-dtbncx+xml",
                    page: matches!(kind.as_str(), "application/xhtml+xml" | "text/html"),
                };
                items.insert(tag.get("id").unwrap_or_default(), item);
            }
            "itemref" => spine.extend(tag.get("idref")),
            _ => {}
        }
    }
    Ok((items, spine))
}

/// Addresses in a book are URLs: a blank in a name is `%20`.
fn decoded(address: &str) -> String {
    let mut bytes = Vec::with_capacity(address.len());
    let mut rest = address.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let code = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let (b'%', Some(code)) = (first, code) {
            bytes.push(code);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn enciphered(container: &mut Container<'_>, limits: &OfficeLimits) -> Outcome<HashSet<String>> {
    let mut paths = HashSet::new();
    let Some(bytes) = container.read(ENCRYPTION)? else {
        return Ok(paths);
    };
    let text = xml::decode(ENCRYPTION, bytes)?;
    let mut xml = Xml::new(ENCRYPTION, &text, limits);
    while let Some(node) = xml.next()? {
        if let Node::Open(tag) = node
            && tag.name() == "CipherReference"
            && let Some(address) = tag.get("URI")
        {
            paths.insert(join("", &decoded(&address)));
        }
    }
    Ok(paths)
}

/// Names of chapters by path: the EPUB 3 page of contents, else the EPUB 2 one.
fn chapter_names(
    container: &mut Container<'_>,
    items: &HashMap<String, Item>,
    limits: &OfficeLimits,
) -> Outcome<HashMap<String, String>> {
    let find = |wanted: fn(&Item) -> bool| items.values().find(|item| wanted(item));
    let Some(item) = find(|item| item.nav).or_else(|| find(|item| item.ncx)) else {
        return Ok(HashMap::new());
    };
    let Some(bytes) = container.read(&item.path)? else {
        return Ok(HashMap::new());
    };
    let folder = item.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let text = xml::decode(&item.path, bytes)?;
    let mut xml = Xml::new(&item.path, &text, limits);
    let mut names = HashMap::new();
    // <a href>name</a>, or <navLabel>name</navLabel> before <content src>.
    let mut label = String::new();
    loop {
        let node = match xml.next() {
            Ok(Some(node)) => node,
            // The chapters have their own headings: a broken list of them costs no text.
            Ok(None) | Err(Problem::Damaged(_)) => break,
            Err(problem) => return Err(problem),
        };
        let Node::Open(tag) = node else { continue };
        let address = match tag.name() {
            "navLabel" => {
                label = one_line(&xml.text()?);
                continue;
            }
            "a" => {
                let address = tag.get("href");
                label = one_line(&xml.text()?);
                address
            }
            "content" => tag.get("src"),
            _ => continue,
        };
        if let Some(address) = address.filter(|_| !label.is_empty()) {
            let path = join(folder, &decoded(&address));
            names.entry(path).or_insert_with(|| label.clone());
        }
    }
    Ok(names)
}

fn chapter(container: &mut Container<'_>, path: &str, limits: &OfficeLimits) -> Outcome<Page> {
    let bytes = container.need(path)?;
    let decoded =
        encoding::decode(&bytes, true).map_err(|_| Problem::damaged(path, "binary content"))?;
    drop(bytes);
    page(path, &xhtml::opened(&decoded.text), limits)
}

/// A page of a book or of a message as text.
pub fn page(place: &str, text: &str, limits: &OfficeLimits) -> Outcome<Page> {
    let size = text.len() as u64;
    if size > limits.html_bytes {
        return Err(Problem::limit("max_html_bytes", size, limits.html_bytes));
    }
    html::convert(text, limits.html_depth).map_err(|error| match error {
        HtmlError::TooDeep(depth) => {
            Problem::limit("max_html_depth", depth as u64, limits.html_depth as u64)
        }
        HtmlError::Parser(detail) => Problem::damaged(place, format!("html parser: {detail}")),
    })
}

fn append(
    converted: &mut Converted,
    page: &Page,
    name: Option<String>,
    limits: &OfficeLimits,
) -> Outcome<()> {
    if page.text.trim().is_empty() {
        return Ok(());
    }
    let text = &mut converted.text;
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    let start = text.len();
    let headed = page.text.lines().any(|line| line.starts_with('#'));
    if let Some(name) = name.as_ref().filter(|_| !headed) {
        text.push_str("# ");
        text.push_str(name);
        text.push_str("\n\n");
    }
    text.push_str(&page.text);
    let size = text.len() as u64;
    if size > limits.text_bytes {
        return Err(Problem::limit("max_text_bytes", size, limits.text_bytes));
    }
    let number = converted.spans.len() + 1;
    let name = name.or_else(|| page.title.as_deref().map(one_line));
    converted.spans.push(Span {
        name: name.map_or_else(
            || format!("chapter {number}"),
            |name| format!("chapter {name}"),
        ),
        bytes: start..converted.text.len(),
    });
    Ok(())
}
