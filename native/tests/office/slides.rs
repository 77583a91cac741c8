//! pptx: presentations.

use _native::extract::office::{Kind, Problem};

use crate::{Part, package, problem, read, relations};

fn pptx_with(order: &[&str], slides: &[(&str, &str)], parts: &[Part<'_>]) -> Vec<u8> {
    let ids: String = order
        .iter()
        .map(|id| format!(r#"<p:sldId id="256" r:id="{id}"/>"#))
        .collect();
    let main = format!("<p:presentation><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>");
    let targets: Vec<String> = slides
        .iter()
        .map(|(id, _)| format!("slides/{id}.xml"))
        .collect();
    let list: Vec<(&str, &str, &str)> = slides
        .iter()
        .zip(&targets)
        .map(|((id, _), target)| (*id, "slide", target.as_str()))
        .collect();
    let rels = relations(&list);
    let named: Vec<(String, &str)> = slides
        .iter()
        .map(|(id, slide)| (format!("ppt/slides/{id}.xml"), *slide))
        .collect();
    let mut all = vec![
        ("ppt/presentation.xml", main.as_str()),
        ("ppt/_rels/presentation.xml.rels", rels.as_str()),
    ];
    all.extend(named.iter().map(|(name, slide)| (name.as_str(), *slide)));
    all.extend_from_slice(parts);
    package(
        "openxmlformats-officedocument.presentationml.presentation",
        "ppt/presentation.xml",
        &all,
    )
}

fn shape(kind: &str, paragraphs: &str) -> String {
    let place = if kind.is_empty() {
        String::new()
    } else {
        format!("<p:ph {kind}/>")
    };
    format!(
        "<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>"
    )
}

fn p(text: &str) -> String {
    format!("<a:p><a:r><a:t>{text}</a:t></a:r></a:p>")
}

pub fn sample() -> Vec<u8> {
    let body = format!(
        r#"{}<a:p><a:pPr lvl="1"/><a:r><a:t>deeper</a:t></a:r></a:p><a:p><a:pPr><a:buNone/></a:pPr><a:r><a:t>plain</a:t></a:r></a:p>"#,
        p("point")
    );
    let first = format!(
        r#"<p:sld show="0"><p:cSld><p:spTree>{}{}{}{}</p:spTree></p:cSld></p:sld>"#,
        shape("idx=\"1\"", &body),
        shape("type=\"title\"", &p("Agenda")),
        shape("type=\"sldNum\"", &p("7")),
        shape(
            "",
            r#"<a:p><a:r><a:rPr><a:hlinkClick r:id="l"/></a:rPr><a:t>site</a:t></a:r><a:br/><a:r><a:t>end</a:t></a:r></a:p>"#
        ),
    );
    let second = format!(
        "<p:sld><p:cSld><p:spTree><p:graphicFrame><a:graphic><a:tbl><a:tr><a:tc gridSpan=\"2\"><a:txBody>{}</a:txBody></a:tc><a:tc hMerge=\"1\"><a:txBody><a:p/></a:txBody></a:tc></a:tr><a:tr><a:tc><a:txBody>{}</a:txBody></a:tc><a:tc><a:txBody>{}</a:txBody></a:tc></a:tr></a:tbl></a:graphic></p:graphicFrame></p:spTree></p:cSld></p:sld>",
        p("head"),
        p("a"),
        p("b")
    );
    let notes = format!(
        "<p:notes>{}{}</p:notes>",
        shape("type=\"sldImg\"", ""),
        shape("type=\"body\"", &p("Say hello."))
    );
    let rels = relations(&[
        ("l", "hyperlink", "https://example.org/"),
        ("n", "notesSlide", "../notesSlides/n.xml"),
    ]);
    pptx_with(
        &["second", "first"],
        &[("first", &first), ("second", &second)],
        &[
            ("ppt/slides/_rels/first.xml.rels", &rels),
            ("ppt/notesSlides/n.xml", &notes),
        ],
    )
}

#[test]
fn slides_come_in_the_order_of_the_show_with_title_points_tables_and_notes() {
    let document = read(Kind::Pptx, &sample());
    assert_eq!(
        document.text,
        "## Slide 1\n\n| head | |\n| --- | --- |\n| a | b |\n\n## Agenda (hidden)\n\n- point\n  - deeper\n\nplain\n\n[site](https://example.org/)\nend\n\nNotes:\n\nSay hello."
    );
    assert_eq!(document.title.as_deref(), Some("Agenda"));
    assert_eq!(document.spans[1].name, "slide 2");
    assert!(document.text[document.spans[1].bytes.clone()].starts_with("## Agenda"));
}

#[test]
fn a_slide_listed_many_times_or_missing_is_damage() {
    let slide = "<p:sld/>";
    assert!(matches!(
        problem(Kind::Pptx, &pptx_with(&["a", "a"], &[("a", slide)], &[])),
        Problem::Damaged(_)
    ));
    assert!(matches!(
        problem(Kind::Pptx, &pptx_with(&["b"], &[("a", slide)], &[])),
        Problem::Damaged(_)
    ));
}
