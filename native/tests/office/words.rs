//! docx and odt: text documents.

use _native::extract::office::{Kind, Problem};

use crate::{docx, docx_with, problem, read, relations, text, zip};

fn p(text: &str) -> String {
    format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")
}

fn styled(style: &str, text: &str) -> String {
    format!(r#"<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"#)
}

fn item(list: u32, level: u32, text: &str) -> String {
    format!(
        r#"<w:p><w:pPr><w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list}"/></w:numPr></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"#
    )
}

fn word(body: &str) -> String {
    text(Kind::Docx, &docx(body))
}

const STYLES: &str = r#"<w:styles>
  <w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
  <w:style w:styleId="Kapitel"><w:name w:val="Kapitel"/><w:basedOn w:val="berschrift1"/></w:style>
  <w:style w:styleId="Eigen"><w:name w:val="Eigen"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>
  <w:style w:styleId="Kreis"><w:name w:val="Kreis"/><w:basedOn w:val="Kreis"/></w:style>
  <w:style w:styleId="Liste"><w:name w:val="List Number"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
</w:styles>"#;

const NUMBERING: &str = r#"<w:numbering>
  <w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/></w:lvl>
    <w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>
  <w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>
</w:numbering>"#;

fn full(body: &str) -> String {
    let rels = relations(&[
        ("rId1", "styles", "styles.xml"),
        ("rId2", "numbering", "numbering.xml"),
        ("rId3", "hyperlink", "https://example.org/a?b=1"),
        ("rId4", "footnotes", "/word/footnotes.xml"),
        ("rId5", "endnotes", "endnotes.xml"),
    ]);
    let footnotes = format!(
        r#"<w:footnotes><w:footnote w:id="-1" w:type="separator">{}</w:footnote><w:footnote w:id="2">{}{}</w:footnote><w:footnote w:id="9">{}</w:footnote></w:footnotes>"#,
        p("never"),
        p("At the foot,"),
        p("in two parts."),
        p("uncited")
    );
    let endnotes = format!(
        r#"<w:endnotes><w:endnote w:id="2">{}</w:endnote></w:endnotes>"#,
        p("At the end.")
    );
    text(
        Kind::Docx,
        &docx_with(
            body,
            &[
                ("word/_rels/document.xml.rels", &rels),
                ("word/styles.xml", STYLES),
                ("word/numbering.xml", NUMBERING),
                ("word/footnotes.xml", &footnotes),
                ("word/endnotes.xml", &endnotes),
            ],
        ),
    )
}

#[test]
fn headings_are_known_by_name_outline_and_ancestry_and_not_by_localized_id() {
    let body = [
        styled("berschrift1", "One"),
        styled("Kapitel", "Two"),
        styled("Eigen", "Three"),
        styled("Kreis", "Body"),
        styled("unknown", "Body too"),
    ];
    assert_eq!(
        full(&body.concat()),
        "# One\n\n# Two\n\n### Three\n\nBody\n\nBody too"
    );
}

#[test]
fn lists_keep_their_level_and_their_numbers() {
    let body = [
        item(1, 0, "a"),
        item(1, 1, "b"),
        item(1, 0, "c"),
        styled("Liste", "d"),
        item(5, 0, "e"),
        item(0, 0, "f"),
    ];
    assert_eq!(full(&body.concat()), "3. a\n  - b\n4. c\n5. d\n- e\n\nf");
}

#[test]
fn notes_stand_behind_the_text_in_the_order_of_their_marks() {
    let body = r#"<w:p><w:r><w:t>Ends</w:t></w:r><w:r><w:endnoteReference w:id="2"/></w:r><w:r><w:t xml:space="preserve"> and feet</w:t></w:r>
        <w:r><w:footnoteReference w:id="2"/></w:r></w:p>"#;
    assert_eq!(
        full(body),
        "Ends[^e1] and feet[^1]\n\n[^e1]: At the end.\n\n[^1]: At the foot, in two parts."
    );
}

#[test]
fn links_keep_the_address_that_leaves_the_document() {
    let body = r#"<w:p><w:r><w:t xml:space="preserve">See </w:t></w:r><w:hyperlink r:id="rId3"><w:r><w:t>here</w:t></w:r></w:hyperlink>
        <w:hyperlink w:anchor="x"><w:r><w:t xml:space="preserve"> and there</w:t></w:r></w:hyperlink></w:p>"#;
    assert_eq!(
        full(body),
        "See [here](https://example.org/a?b=1) and there"
    );
}

#[test]
fn tables_are_markdown_and_merged_cells_keep_their_columns() {
    let cell = |inner: &str| format!("<w:tc>{inner}</w:tc>");
    let wide = format!(
        r#"<w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>{}</w:tc>"#,
        p("wide")
    );
    let below = r#"<w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc>"#;
    let body = format!(
        "<w:tbl><w:tr>{wide}{}</w:tr><w:tr>{}{}{below}</w:tr></w:tbl>",
        cell(&p("c")),
        cell(&p("a|a")),
        cell(&format!("{}{}", p("b"), p("b2"))),
    );
    assert_eq!(
        word(&body),
        "| wide | | c |\n| --- | --- | --- |\n| a\\|a | b b2 | |"
    );
}

#[test]
fn a_table_inside_a_table_is_flattened_and_a_table_of_one_cell_is_its_content() {
    let inner = format!(
        "<w:tbl><w:tr><w:tc>{}</w:tc><w:tc>{}</w:tc></w:tr><w:tr><w:tc>{}</w:tc></w:tr></w:tbl>",
        p("x"),
        p("y"),
        p("z")
    );
    let nested = format!(
        "<w:tbl><w:tr><w:tc>{}{inner}</w:tc><w:tc>{}</w:tc></w:tr></w:tbl>",
        p("a"),
        p("b")
    );
    assert_eq!(word(&nested), "| a x, y; z | b |\n| --- | --- |");
    let frame = format!("<w:tbl><w:tr><w:tc>{}{inner}</w:tc></w:tr></w:tbl>", p("a"));
    assert_eq!(word(&frame), "a\n\n| x | y |\n| --- | --- |\n| z |");
}

#[test]
fn tracked_insertions_are_kept_and_deletions_are_dropped() {
    let body = format!(
        r#"<w:p><w:r><w:t>a</w:t></w:r><w:ins><w:r><w:t>b</w:t></w:r></w:ins><w:del><w:r><w:delText>c</w:delText></w:r></w:del>
        <w:moveFrom><w:r><w:t>d</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>e</w:t></w:r></w:moveTo></w:p>
        <w:tbl><w:tr><w:tc>{}</w:tc><w:tc>{}</w:tc></w:tr><w:tr><w:trPr><w:del/></w:trPr><w:tc>{}</w:tc></w:tr></w:tbl>"#,
        p("kept"),
        p("too"),
        p("gone")
    );
    assert_eq!(word(&body), "abe\n\n| kept | too |\n| --- | --- |");
}

#[test]
fn breaks_tabs_hyphens_and_entities_are_what_a_reader_sees() {
    let body = r#"<w:p><w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr><w:r><w:t>one</w:t><w:br/><w:t>two</w:t><w:tab/><w:t>three</w:t>
        <w:t>co</w:t><w:softHyphen/><w:t>&#x6f;p&#xAD;er</w:t><w:noBreakHyphen/><w:t>a &amp; b &lt;c&gt; &bogus;</w:t></w:r></w:p>"#;
    assert_eq!(word(body), "one\ntwo\tthreecooper-a & b <c> &bogus;");
}

#[test]
fn a_text_box_is_read_once_and_fields_give_their_result() {
    let inner = p("boxed");
    let body = format!(
        r#"<w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent>{inner}</w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent>{inner}</w:txbxContent></mc:Fallback></mc:AlternateContent></w:r>
        <w:r><w:fldChar/><w:instrText>PAGE</w:instrText><w:t>around 7</w:t></w:r></w:p>"#
    );
    assert_eq!(word(&body), "boxed\n\naround 7");
}

#[test]
fn properties_are_metadata_and_the_title_is_theirs_or_the_first_heading() {
    let core = "<cp:coreProperties><dc:title> A  title </dc:title><dc:creator>Ann</dc:creator><dcterms:created>2024-01-02T03:04:05Z</dcterms:created></cp:coreProperties>";
    let document = read(
        Kind::Docx,
        &docx_with(&p("x"), &[("docProps/core.xml", core)]),
    );
    assert_eq!(document.title.as_deref(), Some("A title"));
    assert_eq!(document.metadata["author"], "Ann");
    assert_eq!(document.metadata["created"], "2024-01-02T03:04:05Z");
    let untitled =
        docx(r#"<w:p><w:pPr><w:outlineLvl w:val="0"/></w:pPr><w:r><w:t>Top</w:t></w:r></w:p>"#);
    assert_eq!(read(Kind::Docx, &untitled).title.as_deref(), Some("Top"));
}

#[test]
fn right_to_left_and_combining_text_come_out_as_they_are() {
    let words = "שלום عربي e\u{301} नमस्ते 日本語";
    assert_eq!(word(&p(words)), words);
}

#[test]
fn a_package_without_its_main_part_is_damaged() {
    let bytes = zip(&[("word/document.xml", "<w:document/>")]);
    assert!(matches!(problem(Kind::Docx, &bytes), Problem::Damaged(_)));
}

fn odt_with(styles: &str, body: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let content = format!(
        "<office:document-content><office:automatic-styles>{styles}</office:automatic-styles><office:body><office:text>{body}</office:text></office:body></office:document-content>"
    );
    let mut all = vec![
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("content.xml", content.as_str()),
    ];
    all.extend_from_slice(parts);
    zip(&all)
}

fn odt(styles: &str, body: &str) -> String {
    text(Kind::Odt, &odt_with(styles, body, &[]))
}

#[test]
fn odt_headings_titles_and_white_space() {
    let styles = r#"<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>"#;
    let body = r#"<text:p text:style-name="P1">The  title</text:p><text:h text:outline-level="2">Part</text:h>
        <text:p>a
          b<text:s text:c="2"/>c<text:line-break/>d<text:tab/>e</text:p>"#;
    assert_eq!(odt(styles, body), "# The title\n\n## Part\n\na b  c\nd\te");
}

#[test]
fn odt_lists_nest_number_and_go_on() {
    let styles = r#"<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-format="1"/><text:list-level-style-bullet text:level="2"/></text:list-style>"#;
    let body = r#"<text:list text:style-name="L1"><text:list-item><text:p>a</text:p><text:p>more</text:p>
        <text:list><text:list-item><text:p>b</text:p></text:list-item></text:list></text:list-item></text:list>
        <text:p>between</text:p>
        <text:list text:style-name="L1" text:continue-numbering="true"><text:list-item><text:p>c</text:p></text:list-item></text:list>"#;
    assert_eq!(odt(styles, body), "1. a\n  more\n  - b\n\nbetween\n\n2. c");
}

#[test]
fn odt_tables_notes_links_and_what_is_left_out() {
    let body = r#"<text:tracked-changes><text:changed-region><text:deletion><text:p>deleted</text:p></text:deletion></text:changed-region></text:tracked-changes>
        <text:p>x<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body><text:p>foot</text:p></text:note-body></text:note>
        <text:a xlink:href="https://example.org/">site</text:a><office:annotation><text:p>comment</text:p></office:annotation></text:p>
        <table:table><table:table-row><table:table-cell table:number-columns-spanned="2"><text:p>ab</text:p></table:table-cell><table:covered-table-cell/></table:table-row>
        <table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table>"#;
    assert_eq!(
        odt("", body),
        "x[^1] [site](https://example.org/)\n\n| ab | |\n| --- | --- |\n| a | b |\n\n[^1]: foot"
    );
}

#[test]
fn an_enciphered_odt_says_so() {
    let manifest = "<manifest:manifest><manifest:file-entry><manifest:encryption-data/></manifest:file-entry></manifest:manifest>";
    let bytes = odt_with("", "", &[("META-INF/manifest.xml", manifest)]);
    assert_eq!(problem(Kind::Odt, &bytes), Problem::Encrypted);
}
