//! xlsx and ods: spreadsheets.

use _native::extract::office::{Kind, Problem, convert};

use crate::meter::peak;
use crate::{LIMITS, package, problem, read, relations, text, zip};

const STYLES: &str = r#"<styleSheet><numFmts><numFmt numFmtId="164" formatCode="[$-409]d\-mmm\-yyyy;@"/><numFmt numFmtId="165" formatCode="&quot;days&quot; 0.0"/></numFmts>
  <cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
  <cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="46"/><xf numFmtId="20"/></cellXfs></styleSheet>"#;

/// Sheets as (name, state, sheetData).
fn xlsx_with(workbook: &str, sheets: &[(&str, &str, &str)], strings: &str) -> Vec<u8> {
    let mut book = format!("<workbook>{workbook}<sheets>");
    let mut rels = vec![
        (
            "s".to_owned(),
            "sharedStrings".to_owned(),
            "sharedStrings.xml".to_owned(),
        ),
        ("t".to_owned(), "styles".to_owned(), "styles.xml".to_owned()),
    ];
    let mut parts = Vec::new();
    for (index, (name, state, data)) in sheets.iter().enumerate() {
        book.push_str(&format!(
            r#"<sheet name="{name}" sheetId="{index}" state="{state}" r:id="r{index}"/>"#
        ));
        rels.push((
            format!("r{index}"),
            "worksheet".to_owned(),
            format!("worksheets/{index}.xml"),
        ));
        parts.push((
            format!("xl/worksheets/{index}.xml"),
            format!("<worksheet><sheetData>{data}</sheetData></worksheet>"),
        ));
    }
    book.push_str("</sheets></workbook>");
    let rels: Vec<(&str, &str, &str)> = rels
        .iter()
        .map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()))
        .collect();
    let rels = relations(&rels);
    let strings = format!("<sst>{strings}</sst>");
    let mut all = vec![
        ("xl/workbook.xml", book.as_str()),
        ("xl/_rels/workbook.xml.rels", rels.as_str()),
        ("xl/sharedStrings.xml", strings.as_str()),
        ("xl/styles.xml", STYLES),
    ];
    all.extend(
        parts
            .iter()
            .map(|(name, part)| (name.as_str(), part.as_str())),
    );
    package(
        "openxmlformats-officedocument.spreadsheetml.sheet",
        "xl/workbook.xml",
        &all,
    )
}

pub fn xlsx(data: &str) -> Vec<u8> {
    let strings = "<si><t>name</t></si><si><r><t>rich </t></r><r><t>text</t></r><rPh><t>reading</t></rPh></si>";
    xlsx_with("", &[("One", "visible", data)], strings)
}

#[test]
fn cells_show_shared_inline_and_formula_strings_booleans_and_errors() {
    let data = r#"<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="inlineStr"><is><t>in|line</t></is></c></row>
        <row r="2"><c r="A2" t="str"><f>A1</f><v>cached</v></c><c r="B2" t="b"><v>1</v></c><c r="C2" t="e"><v>#N/A</v></c></row>"#;
    assert_eq!(
        text(Kind::Xlsx, &xlsx(data)),
        "## One\n\n| name | rich text | in\\|line |\n| --- | --- | --- |\n| cached | TRUE | #N/A |"
    );
}

#[test]
fn dates_and_times_are_iso_and_numbers_are_the_stored_ones() {
    let cells = [
        (1, "45292"),               // a built-in date
        (1, "45292.75"),            // with a time
        (2, "59"),                  // the last day before the day that never was
        (2, "61"),                  // the first behind it
        (3, "2.5"),                 // letters in quotes are no date
        (4, "1.5"),                 // hours past 24
        (5, "0.5"),                 // a time alone
        (0, "0.10000000000000001"), // a float's long form
        (0, "123456789012345678"),  // more digits than a float holds
    ];
    let row: String = cells
        .iter()
        .map(|(style, value)| format!(r#"<c s="{style}"><v>{value}</v></c>"#))
        .collect();
    let shown = text(Kind::Xlsx, &xlsx(&format!("<row>{row}</row>")));
    assert_eq!(
        shown.lines().nth(2).unwrap(),
        "| 2024-01-01 | 2024-01-01T18:00:00 | 1900-02-28 | 1900-03-01 | 2.5 | 36:00:00 | 12:00:00 | 0.1 | 123456789012345678 |"
    );
    let book = xlsx_with(
        r#"<workbookPr date1904="1"/>"#,
        &[("S", "visible", r#"<row><c s="1"><v>0</v></c></row>"#)],
        "",
    );
    assert!(text(Kind::Xlsx, &book).contains("| 1904-01-01 |"));
}

#[test]
fn empty_rows_columns_and_sheets_are_left_out_and_hidden_sheets_say_so() {
    let data = r#"<row r="3"><c r="B3"><v>1</v></c><c r="E3"><v>2</v></c></row><row r="9"><c r="B9"><v>3</v></c></row>"#;
    let book = xlsx_with(
        "",
        &[
            ("A", "visible", data),
            ("B", "visible", "<row/>"),
            ("C", "veryHidden", data),
        ],
        "",
    );
    let table = "| 1 | 2 |\n| --- | --- |\n| 3 | |";
    let document = read(Kind::Xlsx, &book);
    assert_eq!(
        document.text,
        format!("## A\n\n{table}\n\n## C (hidden)\n\n{table}")
    );
    let names: Vec<&str> = document
        .spans
        .iter()
        .map(|span| span.name.as_str())
        .collect();
    assert_eq!(names, ["sheet A", "sheet C"]);
    assert!(document.text[document.spans[1].bytes.clone()].starts_with("## C"));
}

#[test]
fn a_sheet_with_two_far_corners_costs_two_cells() {
    let data = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>"#;
    let bytes = xlsx(data);
    let (shown, held) = peak(|| text(Kind::Xlsx, &bytes));
    assert_eq!(shown, "## One\n\n| 1 | |\n| --- | --- |\n| | 2 |");
    assert!(held < 1 << 20, "{held} bytes held");
}

#[test]
fn a_diagonal_of_cells_is_lines_and_not_a_table_of_bars() {
    let data: String = (1..=3000)
        .map(|row| {
            format!(
                r#"<row r="{row}"><c r="{}{row}"><v>{row}</v></c></row>"#,
                column(row)
            )
        })
        .collect();
    let shown = text(Kind::Xlsx, &xlsx(&data));
    assert!(
        shown.starts_with("## One\n\n- A1: 1\n- B2: 2\n"),
        "{}",
        &shown[..60]
    );
    assert!(shown.contains("\n- AA27: 27\n"));
}

fn column(mut number: u32) -> String {
    let mut name = String::new();
    while number > 0 {
        name.insert(
            0,
            char::from(b'A' + u8::try_from((number - 1) % 26).unwrap()),
        );
        number = (number - 1) / 26;
    }
    name
}

#[test]
fn a_string_named_a_million_times_stops_at_the_limit_on_text() {
    let long = "x".repeat(30_000);
    let data = r#"<c t="s"><v>0</v></c>"#.repeat(20_000);
    let book = xlsx_with(
        "",
        &[("S", "visible", &format!("<row>{data}</row>"))],
        &format!("<si><t>{long}</t></si>"),
    );
    let (found, held) = peak(|| convert(Kind::Xlsx, &book, &LIMITS));
    assert!(
        matches!(found, Err(Problem::Limit(reason)) if reason.starts_with("limit max_text_bytes: "))
    );
    assert!(held < 256 << 20, "{held} bytes held");
}

#[test]
fn a_string_that_is_not_there_is_damage_and_not_an_empty_cell() {
    assert!(matches!(
        problem(Kind::Xlsx, &xlsx(r#"<row><c t="s"><v>99</v></c></row>"#)),
        Problem::Damaged(_)
    ));
}

pub fn ods(styles: &str, body: &str) -> Vec<u8> {
    let content = format!(
        "<office:document-content><office:automatic-styles>{styles}</office:automatic-styles><office:body><office:spreadsheet>{body}</office:spreadsheet></office:body></office:document-content>"
    );
    zip(&[
        ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        ("content.xml", &content),
    ])
}

#[test]
fn ods_gives_values_repeats_and_hidden_sheets() {
    let styles = r#"<style:style style:name="ta2" style:family="table"><style:table-properties table:display="false"/></style:style>"#;
    let body = r#"<table:table table:name="Sales"><table:table-row><table:table-cell office:value-type="string"><text:p>who</text:p></table:table-cell>
        <table:table-cell table:number-columns-repeated="2" office:value-type="float" office:value="1.50"><text:p>2</text:p></table:table-cell></table:table-row>
        <table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>
        <table:table-row table:number-rows-repeated="2"><table:table-cell office:value-type="date" office:date-value="2024-02-29"><text:p>29.2.24</text:p></table:table-cell>
        <table:table-cell><text:p>a</text:p><text:p>b</text:p><office:annotation><text:p>note</text:p></office:annotation></table:table-cell></table:table-row></table:table>
        <table:table table:name="H" table:style-name="ta2"><table:table-row><table:table-cell office:value-type="boolean" office:boolean-value="true"/></table:table-row></table:table>"#;
    assert_eq!(
        text(Kind::Ods, &ods(styles, body)),
        "## Sales\n\n| who | 1.5 | 1.5 |\n| --- | --- | --- |\n| 2024-02-29 | a b | |\n| 2024-02-29 | a b | |\n\n## H (hidden)\n\n| TRUE |\n| --- |"
    );
}

#[test]
fn an_ods_cell_repeated_a_billion_times_stops_at_the_limit_on_text() {
    let body = r#"<table:table><table:table-row table:number-rows-repeated="4000000000"><table:table-cell table:number-columns-repeated="4000000000"><text:p>x</text:p></table:table-cell></table:table-row></table:table>"#;
    let bytes = ods("", body);
    let (found, held) = peak(|| convert(Kind::Ods, &bytes, &LIMITS));
    assert!(matches!(found, Err(Problem::Limit(_))));
    assert!(held < 1 << 30, "{held} bytes held");
}
