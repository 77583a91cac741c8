//! A pull reader over one XML part: elements by local name, text with the five entities, a bound on depth.
//!
//! No DTD: a DOCTYPE that declares something of its own is refused, any other is passed over, and an entity that XML does not
//! define stays as it is written. Prefixes are not resolved: writers of these formats use the usual ones, and strict and
//! transitional namespaces differ only in their addresses.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesEnd, BytesStart, Event};

use super::{OfficeLimits, Outcome, Problem};
use crate::extract::encoding;

pub enum Node<'a> {
    Open(Tag<'a>),
    Close(End<'a>),
    Text(Cow<'a, str>),
}

pub struct Tag<'a>(BytesStart<'a>);

pub struct End<'a>(BytesEnd<'a>);

pub struct Xml<'a> {
    part: &'a str,
    reader: Reader<&'a [u8]>,
    depth: usize,
    max_depth: usize,
}

/// The text of a part: UTF-8 by rule, anything its mark or declaration says by courtesy.
pub fn decode(part: &str, bytes: Vec<u8>) -> Outcome<String> {
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            Ok(text)
        }
        Err(error) => encoding::decode(error.as_bytes(), true)
            .map(|decoded| decoded.text)
            .map_err(|_| Problem::damaged(part, "binary content")),
    }
}

impl<'a> Xml<'a> {
    /// `part`: its name, for reasons.
    pub fn new(part: &'a str, text: &'a str, limits: &OfficeLimits) -> Xml<'a> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Xml {
            part,
            reader,
            depth: 0,
            max_depth: limits.xml_depth,
        }
    }

    pub fn next(&mut self) -> Outcome<Option<Node<'a>>> {
        loop {
            let event = self
                .reader
                .read_event()
                .map_err(|error| self.broken(&error.to_string()))?;
            let node = match event {
                Event::Start(tag) | Event::Empty(tag) => {
                    self.depth += 1;
                    if self.depth > self.max_depth {
                        let limit = self.max_depth as u64;
                        return Err(Problem::limit("max_xml_depth", self.depth as u64, limit));
                    }
                    Node::Open(Tag(tag))
                }
                Event::End(end) => {
                    self.depth = self.depth.saturating_sub(1);
                    Node::Close(End(end))
                }
                Event::Text(text) => Node::Text(match text.into_inner() {
                    Cow::Borrowed(text) => unix_lines(text),
                    Cow::Owned(text) => Cow::Owned(unix_lines(&text).into_owned()),
                }),
                Event::CData(text) => Node::Text(text.into_inner()),
                Event::GeneralRef(reference) => Node::Text(resolve(&reference.into_inner()).into()),
                Event::DocType(declaration) => {
                    if declaration.into_inner().contains('[') {
                        return Err(self.broken("a DOCTYPE with declarations of its own"));
                    }
                    continue;
                }
                Event::Eof if self.depth > 0 => return Err(self.broken("cut short")),
                Event::Eof => return Ok(None),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            };
            return Ok(Some(node));
        }
    }

    /// Passes over the rest of the element just opened.
    pub fn skip(&mut self) -> Outcome<()> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            if self.next()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// All text of the element just opened.
    pub fn text(&mut self) -> Outcome<String> {
        let outside = self.depth.saturating_sub(1);
        let mut text = String::new();
        while self.depth > outside {
            match self.next()? {
                Some(Node::Text(piece)) => text.push_str(&piece),
                Some(_) => {}
                None => break,
            }
        }
        Ok(text)
    }

    /// Elements open around the reader.
    pub fn depth(&self) -> usize {
        self.depth
    }

    fn broken(&self, detail: &str) -> Problem {
        let at = self.reader.buffer_position();
        Problem::damaged(self.part, format!("{detail}, near byte {at}"))
    }
}

impl Tag<'_> {
    /// Without its prefix.
    pub fn name(&self) -> &str {
        local(self.0.name().into_inner())
    }

    /// An attribute by its local name; the unprefixed one first.
    pub fn get(&self, wanted: &str) -> Option<String> {
        let mut found = None;
        for attribute in self.0.attributes().with_checks(false).flatten() {
            let key = attribute.key.into_inner();
            if key == wanted {
                return Some(unescape(&attribute.value));
            }
            if found.is_none() && local(key) == wanted {
                found = Some(attribute.value);
            }
        }
        found.map(|value| unescape(&value))
    }

    /// `r:id` and its like, which stands beside a plain `id`.
    pub fn relation(&self) -> Option<String> {
        let mut attributes = self.0.attributes();
        attributes
            .with_checks(false)
            .flatten()
            .find(|attribute| {
                let key = attribute.key.into_inner();
                key.contains(':') && local(key) == "id"
            })
            .map(|attribute| unescape(&attribute.value))
    }

    pub fn number(&self, wanted: &str) -> Option<u32> {
        self.get(wanted)?.trim().parse().ok()
    }
}

impl End<'_> {
    pub fn name(&self) -> &str {
        local(self.0.name().into_inner())
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn unix_lines(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        // The longest reference that means something is "#x10FFFF".
        match rest.bytes().take(10).position(|byte| byte == b';') {
            Some(end) => {
                out.push_str(&resolve(&rest[..end]));
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

fn resolve(name: &str) -> String {
    let code = name.strip_prefix('#').and_then(|digits| {
        let hex = digits.strip_prefix(['x', 'X']);
        hex.map_or_else(|| digits.parse(), |hex| u32::from_str_radix(hex, 16))
            .ok()
    });
    let known = match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => code.and_then(char::from_u32).filter(|char| *char != '\0'),
    };
    known.map_or_else(|| format!("&{name};"), String::from)
}
