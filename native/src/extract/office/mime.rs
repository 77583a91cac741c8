//! The parts of one message, found without recursion: text bodies decoded, everything else named.
//!
//! mail-parser reads the header fields and decodes; the walk over parts is our own because its tree of messages inside messages
//! has no bound, neither in depth (dropping it recurses) nor in parts. A message inside a message is an attachment here.

use encoding_rs::Encoding;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Message, MessageParser, MimeHeaders};

use super::{Outcome, Problem};
use crate::extract::encoding;

/// One header field costs many times its bytes in memory.
const HEADER_BYTES_MAX: u64 = 1 << 20;
const PARTS_MAX: u64 = 10_000;
const DEPTH_MAX: u64 = 32;

/// A body meant for reading.
pub struct Body {
    /// The choice that it belongs to, of bodies that say the same.
    pub choice: Option<usize>,
    pub html: bool,
    pub text: String,
}

#[derive(Default)]
pub struct Parts {
    pub bodies: Vec<Body>,
    pub attachments: Vec<String>,
    pub encrypted: bool,
}

struct Pending<'a> {
    bytes: &'a [u8],
    choice: Option<usize>,
    depth: u64,
}

/// The fields of a message or part, None where it has none; and where its body begins.
pub fn head(bytes: &[u8]) -> Outcome<(Option<Message<'_>>, usize)> {
    let end = body_start(bytes);
    if end as u64 > HEADER_BYTES_MAX {
        let size = end as u64;
        return Err(Problem::limit(
            "max_mail_header_bytes",
            size,
            HEADER_BYTES_MAX,
        ));
    }
    let message = MessageParser::default().parse_headers(&bytes[..end]);
    Ok((message, end))
}

/// Behind the first empty line.
fn body_start(bytes: &[u8]) -> usize {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return at;
        }
    }
    bytes.len()
}

pub fn parts(message: &[u8]) -> Outcome<Parts> {
    let mut found = Parts::default();
    let mut pending = vec![Pending {
        bytes: message,
        choice: None,
        depth: 0,
    }];
    let (mut count, mut choices) = (0u64, 0usize);
    while let Some(part) = pending.pop() {
        count += 1;
        if count > PARTS_MAX {
            return Err(Problem::limit("max_mail_parts", count, PARTS_MAX));
        }
        if part.depth > DEPTH_MAX {
            return Err(Problem::limit("max_mail_depth", part.depth, DEPTH_MAX));
        }
        let (fields, start) = head(part.bytes)?;
        let body = &part.bytes[start..];
        let kind = fields.as_ref().map_or_else(Kind::default, Kind::of);
        if kind.main == "multipart"
            && let Some(boundary) = &kind.boundary
        {
            found.encrypted |= kind.sub == "encrypted";
            let mut choice = part.choice;
            if kind.sub == "alternative" {
                choices += 1;
                choice = Some(choices);
            }
            let inner = split(body, boundary.as_bytes(), PARTS_MAX - count)?;
            pending.extend(inner.into_iter().rev().map(|bytes| Pending {
                bytes,
                choice,
                depth: part.depth + 1,
            }));
        } else {
            leaf(&kind, body, part.choice, &mut found);
        }
    }
    Ok(found)
}

fn leaf(kind: &Kind, body: &[u8], choice: Option<usize>, found: &mut Parts) {
    let readable = kind.main == "text" && matches!(kind.sub.as_str(), "plain" | "html");
    if readable && !kind.attached {
        found.bodies.push(Body {
            choice,
            html: kind.sub == "html",
            text: kind.decode(body),
        });
        return;
    }
    found.encrypted |= kind.sub.ends_with("pkcs7-mime") && kind.enveloped;
    let name = kind.name.clone();
    let name = name.unwrap_or_else(|| format!("{}/{}", kind.main, kind.sub));
    found.attachments.push(name);
}

/// What the fields of a part say about it.
struct Kind {
    main: String,
    sub: String,
    boundary: Option<String>,
    charset: Option<String>,
    transfer: String,
    name: Option<String>,
    attached: bool,
    enveloped: bool,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind {
            main: "text".to_owned(),
            sub: "plain".to_owned(),
            boundary: None,
            charset: None,
            transfer: String::new(),
            name: None,
            attached: false,
            enveloped: false,
        }
    }
}

impl Kind {
    fn of(fields: &Message<'_>) -> Kind {
        let mut kind = Kind::default();
        if let Some(content) = fields.content_type() {
            kind.main = content.ctype().to_ascii_lowercase();
            kind.sub = content.subtype().unwrap_or("plain").to_ascii_lowercase();
            kind.boundary = content.attribute("boundary").map(str::to_owned);
            kind.charset = content.attribute("charset").map(str::to_owned);
            let smime = content.attribute("smime-type").unwrap_or("enveloped-data");
            kind.enveloped = smime.eq_ignore_ascii_case("enveloped-data");
        }
        let transfer = fields.content_transfer_encoding().unwrap_or_default();
        kind.transfer = transfer.trim().to_ascii_lowercase();
        kind.name = fields.attachment_name().map(str::to_owned);
        let disposition = fields.content_disposition();
        kind.attached = disposition.is_some_and(mail_parser::ContentType::is_attachment);
        kind
    }

    fn decode(&self, body: &[u8]) -> String {
        let bytes = match self.transfer.as_str() {
            "base64" => base64_decode(body),
            "quoted-printable" => quoted_printable_decode(body),
            _ => None,
        };
        // A body that is not what it says it is is shown as it stands.
        let bytes = bytes.as_deref().unwrap_or(body);
        let label = self.charset.as_deref().unwrap_or_default();
        // The default of the standard is US-ASCII, which writers use for anything.
        let named = Encoding::for_label(label.as_bytes())
            .filter(|_| !label.eq_ignore_ascii_case("us-ascii"));
        // Mail knows a charset that the web has given up.
        let utf7 = Some(label).filter(|label| label.eq_ignore_ascii_case("utf-7"));
        let utf7 = utf7.and_then(|label| charset_decoder(label.as_bytes()));
        if let Some(decode) = utf7 {
            return decode(bytes);
        }
        match named {
            Some(encoding) => encoding.decode(bytes).0.into_owned(),
            None => match encoding::decode(bytes, false) {
                Ok(decoded) => decoded.text,
                Err(_) => String::from_utf8_lossy(bytes).into_owned(),
            },
        }
    }
}

/// The parts between lines of `--boundary`; what stands before the first and behind the last is no part.
fn split<'a>(body: &'a [u8], boundary: &[u8], most: u64) -> Outcome<Vec<&'a [u8]>> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let here = at;
        at += line.len();
        let Some(rest) = line
            .strip_prefix(b"--")
            .and_then(|rest| rest.strip_prefix(boundary))
        else {
            continue;
        };
        let rest = rest.trim_ascii();
        if !rest.is_empty() && rest != b"--" {
            continue;
        }
        if let Some(start) = start.take() {
            parts.push(without_line_end(&body[start..here]));
            if parts.len() as u64 > most {
                return Err(Problem::limit("max_mail_parts", PARTS_MAX + 1, PARTS_MAX));
            }
        }
        if rest == b"--" {
            return Ok(parts);
        }
        start = Some(at);
    }
    // Cut short: the open part goes to the end.
    parts.extend(start.map(|start| &body[start..]));
    Ok(parts)
}

/// The line end before a boundary belongs to the boundary.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
