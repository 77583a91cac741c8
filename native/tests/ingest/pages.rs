use std::collections::HashMap;
use std::time::Instant;

use proptest::prelude::*;

use crate::{document, of_file, verdict};

fn text(html: &str) -> String {
    document(&of_file("a.html", html.as_bytes(), |_| {})[0])
        .text
        .clone()
}

#[test]
fn headings_paragraphs_and_emphasis_become_markdown() {
    let html = "<html><head><title>A  page</title><style>p{}</style></head><body><h1>One <code>x_y</code></h1>
        <p>Some <b>bold</b>, <i>it</i>alic\n   and plain_text.</p><h2>Two</h2><p>a<br>b</p></body></html>";
    assert_eq!(
        text(html),
        "# One `x_y`\n\nSome **bold**, *it*alic and plain_text.\n\n## Two\n\na\nb"
    );
    let rows = of_file("a.html", html.as_bytes(), |_| {});
    assert_eq!(document(&rows[0]).title.as_deref(), Some("A page"));
}

#[test]
fn lists_keep_their_marks_and_depth() {
    let html = "<ul><li>a<ul><li>b</li></ul></li><li><p>c</p><p>d</p></li></ul><ol start=3><li>x<li>y</ol>";
    assert_eq!(text(html), "- a\n  - b\n- c\n\n  d\n\n3. x\n4. y");
}

#[test]
fn a_table_keeps_every_cell_row_headers_included() {
    let html = "<table><caption>Cap</caption><thead><tr><th>h1<th>h2</thead><tbody><tr><th>row</th><td>a|b</td></tr></tbody></table>";
    assert_eq!(
        text(html),
        "Cap\n\n| h1 | h2 |\n| --- | --- |\n| row | a\\|b |"
    );
}

#[test]
fn a_layout_table_is_plain_text() {
    assert_eq!(
        text("<table><tr><td>Prev</td><td>Next</td></tr></table><p>x"),
        "Prev Next\n\nx"
    );
}

#[test]
fn what_is_nested_wrongly_is_read_as_a_browser_reads_it() {
    // A text that may not stand in a table goes before it, joined to the text that is there.
    let html = "a<table>b<tr><td>c</td></tr>d</table>e";
    assert_eq!(text(html), "abd\n\nc\n\ne");
    // Marks that end outside of their paragraph are opened again in the next one.
    assert_eq!(
        text("<p><b>one<p>two</b> three"),
        "**one**\n\n**two** three"
    );
    assert_eq!(
        text("<a href='http://x/'>1<div>2<a href='http://y/'>3</a></div>4"),
        "[1](http://x/)\n\n[2](http://x/)[3](http://y/)\n\n4"
    );
    // A second <body> adds to the first, and what a template holds is nobody's text.
    assert_eq!(
        text("<body>a<template><p>no</p></template><body class=b>c"),
        "ac"
    );
    assert_eq!(text("x<!-- no -->y<?no no?>z"), "xyz");
}

#[test]
fn a_table_of_single_lines_is_data_without_header_cells_too() {
    let grid = "<table><tr><td>a</td><td><i>b</i></td></tr><tr><td>c</td><td></td></tr></table>";
    assert_eq!(text(grid), "| a | *b* |\n| --- | --- |\n| c |  |");
    for layout in [
        "<table><tr><td>a</td></tr><tr><td>b</td></tr></table>",
        "<table><tr><td>a</td><td>x</td></tr><tr><td>b</td></tr></table>",
        "<table><tr><td>a</td><td><p>x</td></tr><tr><td>b</td><td>y</td></tr></table>",
        "<table><tr><td>a</td><td>x<br>x</td></tr><tr><td>b</td><td>y</td></tr></table>",
        "<table><tr><td>a</td><td>x</td></tr><tr><td>b</td><td><table><tr><td>y</table></td></tr></table>",
    ] {
        let text = text(layout);
        assert!(
            text.contains('a') && text.contains('b') && !text.contains('|'),
            "{text}"
        );
    }
}

#[test]
fn cells_that_span_columns_and_rows_leave_the_others_in_their_columns() {
    let html = "<table><tr><th colspan=3>head</th></tr><tr><td rowspan=2>a</td><td>b</td><td>c</td></tr>\
                <tr><td>d</td><td>e</td></tr><tr><td colspan=2>f</td><td>g</td></tr></table>";
    assert_eq!(
        text(html),
        "| head |  |  |\n| --- | --- | --- |\n| a | b | c |\n|  | d | e |\n| f |  | g |"
    );
    assert_eq!(
        text(
            "<table><tr><th rowspan=x>a</th><th colspan=-2>b</th></tr><tr><td rowspan=0>c</td><td>d</td></tr></table>"
        ),
        "| a | b |\n| --- | --- |\n| c | d |"
    );
}

#[test]
fn spans_made_to_hurt_make_little_of_little() {
    let wide = "<td colspan=1000>x</td>".repeat(1000);
    let tall = "<td rowspan=65534>x</td>".repeat(1000);
    let rows = "<tr><td>y".repeat(5000);
    for html in [
        format!("<table><tr><th>h</th>{wide}</tr></table>"),
        format!("<table><tr><th>h</th>{tall}</tr>{rows}</table>"),
        format!(
            "<table><tr><th>h</th>{tall}</tr>{}</table>",
            "<tr>".repeat(5000)
        ),
    ] {
        let text = text(&html);
        assert!(
            text.len() < 4 * html.len(),
            "{} of {}",
            text.len(),
            html.len()
        );
    }
}

#[test]
fn code_is_fenced_and_untouched() {
    let html = "<pre class=\"language-sql\">SELECT  *\n  FROM a_b;\n</pre><p><code>a_b</code></p>";
    assert_eq!(text(html), "```sql\nSELECT  *\n  FROM a_b;\n```\n\n`a_b`");
    assert_eq!(text("<pre>a\n```\nb</pre>"), "````\na\n```\nb\n````");
}

#[test]
fn quotes_definitions_and_absolute_links() {
    assert_eq!(
        text("<blockquote><p>a</p><p>b</p></blockquote><p>c"),
        "> a\n>\n> b\n\nc"
    );
    assert_eq!(
        text("<dl><dt>term</dt><dd>meaning<p>more</p></dd></dl>"),
        "term\n  meaning\n\n  more"
    );
    assert_eq!(
        text(
            "<p><a href='x.html'>rel</a> <a href='https://a.b/c'>abs</a> <a href='https://a.b'>https://a.b</a>"
        ),
        "rel [abs](https://a.b/c) https://a.b"
    );
}

#[test]
fn text_outside_the_body_and_in_noscript_is_kept() {
    assert_eq!(
        text("plain <noscript>seen</noscript><img alt='a picture'> <svg><text>in svg</text></svg>"),
        "plain\n\nseen\n\na picture in svg"
    );
}

#[test]
fn hostile_pages_end_quickly_with_a_row_or_their_text() {
    let started = Instant::now();
    for page in [
        "<b>".repeat(1_000_000) + "hi",
        "<div>".repeat(100_000) + "hi",
        "<table><tr><td>".repeat(5000) + "x",
    ] {
        let rows = of_file("a.html", page.as_bytes(), |_| {});
        assert!(
            verdict(&rows).starts_with("failed: limit max_html_depth: "),
            "{rows:?}"
        );
    }
    for tags in [
        "<b><i>",
        "<b><code>",
        "<a href='https://a'><div>",
        "<table><tr><th>",
        "<li><b>",
        "<h1><div>",
        "<dl><dd>",
    ] {
        let page = tags.repeat(100) + "hi";
        assert!(
            text(&page).ends_with("hi") || text(&page).contains("hi"),
            "{tags}"
        );
    }
    for tags in ["<table><b>", "<table><div>"] {
        let rows = of_file(
            "a.html",
            (tags.to_owned() + &tags[7..].repeat(200_000) + "hi").as_bytes(),
            |_| {},
        );
        assert!(
            verdict(&rows).starts_with("failed: limit max_html_depth: "),
            "{rows:?}"
        );
    }
    let unclosed = format!("<p>caf\u{e9} <a href=\"x{}", "y".repeat(3_000_000));
    assert_eq!(text(&unclosed), "café");
    let many = "<p>x</p>".repeat(200_000);
    assert_eq!(text(&many).matches('x').count(), 200_000);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

fn words(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

/// Random trees of well-formed elements around unique words.
fn tree() -> impl Strategy<Value = String> {
    let leaf = "[a-z]{1,8}( [a-z0-9_*]{1,8}){0,3}";
    leaf.prop_recursive(6, 60, 5, |inner| {
        let tags = prop::sample::select(vec![
            "p",
            "div",
            "b",
            "i",
            "em",
            "code",
            "span",
            "ul",
            "ol",
            "li",
            "h1",
            "h3",
            "blockquote",
            "pre",
            "a",
            "dl",
            "dt",
            "dd",
            "table",
            "section",
        ]);
        (tags, prop::collection::vec(inner, 1..5), any::<bool>()).prop_map(
            |(tag, children, spaced)| {
                let glue = if spaced { " " } else { "" };
                format!("<{tag}>{}</{tag}>", children.join(glue))
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// The reference is a page stripped of its tags: the same letters and digits must come out, none lost or doubled.
    #[test]
    fn no_text_of_a_page_is_lost_or_doubled(html in tree()) {
        let rows = of_file("a.html", html.as_bytes(), |_| {});
        let ours: String = document(&rows[0]).text.chars().filter(|c| c.is_alphabetic()).collect();
        let mut inside = false;
        let reference: String = html
            .chars()
            .filter(|c| {
                if *c == '<' { inside = true }
                let keep = !inside && c.is_alphabetic();
                if *c == '>' { inside = false }
                keep
            })
            .collect();
        let sort = |text: &str| { let mut letters: Vec<char> = text.chars().collect(); letters.sort_unstable(); letters };
        prop_assert_eq!(sort(&ours), sort(&reference), "{}", html);
        prop_assert!(!words(&document(&rows[0]).text).is_empty());
    }
}
