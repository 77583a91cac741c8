//! Small things about text that several formats share. Pure.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// One kind of line end, so that borders are found and equal pages have equal texts.
pub fn unix_lines(text: String) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text
    }
}

/// The title of a Markdown page.
pub fn first_heading(markdown: &str) -> Option<String> {
    let mut heading: Option<String> = None;
    for event in Parser::new(markdown) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), None) => heading = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.push_str(&text),
            (Event::SoftBreak | Event::HardBreak, Some(heading)) => heading.push(' '),
            (Event::End(TagEnd::Heading(_)), Some(_)) => break,
            _ => {}
        }
    }
    heading
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}
