//! eml and mbox: mail.

use std::ops::ControlFlow;

use _native::extract::office::{Converted, Kind, Problem, mbox};

use crate::meter::peak;
use crate::{LIMITS, problem, read, text};

pub const SAMPLE: &str = "From: =?UTF-8?Q?J=C3=BCrgen?= <j@example.org>\r\nTo: Ann <ann@example.org>, b@example.org\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\nDate: Tue, 2 Jan 2024 03:04:05 +0100\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"mix\"\r\n\r\npreamble\r\n--mix\r\nContent-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=\r\n=FC=DFe\r\n--alt\r\nContent-Type: text/html\r\n\r\n<p>the same</p>\r\n--alt--\r\n--mix\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>another <b>page</b></p>\r\n--mix\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--mix\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=notes.txt\r\n\r\nattached\r\n--mix\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--mix--\r\n";

#[test]
fn a_message_gives_its_plain_text_else_its_page_and_names_what_is_attached() {
    let mail = read(Kind::Mail, SAMPLE.as_bytes());
    assert_eq!(mail.text, "Schöne Grüße\n\nanother **page**");
    assert_eq!(mail.title.as_deref(), Some("Grüße"));
    assert_eq!(mail.metadata["from"], "Jürgen <j@example.org>");
    assert_eq!(mail.metadata["to"], "Ann <ann@example.org>, b@example.org");
    assert_eq!(mail.metadata["date"], "2024-01-02T03:04:05+01:00");
    assert_eq!(
        mail.metadata["attachments"],
        "a.pdf, notes.txt, message/rfc822"
    );
}

#[test]
fn a_message_of_html_alone_goes_through_the_html_converter() {
    let mail = "Subject: x\nContent-Type: text/html\n\n<h1>Head</h1><ul><li>a</li></ul>";
    assert_eq!(text(Kind::Mail, mail.as_bytes()), "# Head\n\n- a");
}

#[test]
fn an_empty_plain_text_does_not_hide_the_page_beside_it() {
    let mail = "Subject: x\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n \n--b\nContent-Type: text/html\n\n<p>shown</p>\n--b--\n";
    assert_eq!(text(Kind::Mail, mail.as_bytes()), "shown");
}

#[test]
fn undeclared_and_wrongly_declared_bytes_are_read_by_detection() {
    let utf8 = "Subject: x\n\nnaïve café";
    assert_eq!(text(Kind::Mail, utf8.as_bytes()), "naïve café");
    let japanese = b"Subject: x\nContent-Type: text/plain; charset=Shift_JIS\n\n\x93\xfa\x96{";
    assert_eq!(text(Kind::Mail, japanese), "日本");
    let seven = b"Subject: x\nContent-Type: text/plain; charset=\"utf-7\"\n\nFr+APY-sche";
    assert_eq!(text(Kind::Mail, seven), "Fr\u{f6}sche");
}

#[test]
fn an_enciphered_message_says_so() {
    let pgp = "Subject: x\nContent-Type: multipart/encrypted; boundary=b\n\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: application/octet-stream\n\nabc\n--b--\n";
    assert_eq!(problem(Kind::Mail, pgp.as_bytes()), Problem::Encrypted);
    let smime =
        "Subject: x\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nabc";
    assert_eq!(problem(Kind::Mail, smime.as_bytes()), Problem::Encrypted);
}

fn all(bytes: &[u8], most: usize) -> Vec<Result<Converted, Problem>> {
    let mut found = Vec::new();
    mbox(bytes, &LIMITS, &mut |message| {
        found.push(message);
        if found.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    found
}

#[test]
fn each_message_of_a_mailbox_is_a_document_and_quoted_from_lines_are_restored() {
    let bytes = b"From a Mon\nSubject: one\n\nbody\n>From here\n>>From there\nFrom is no mark here\n\nFrom b Tue\nSubject: two\n\nsecond\n\nFrom c Wed\n\nFrom d Thu\nSubject: four\n\nlast\n";
    let found = all(bytes, 9);
    let texts: Vec<&str> = found
        .iter()
        .filter_map(|one| one.as_ref().ok())
        .map(|one| one.text.as_str())
        .collect();
    assert_eq!(
        texts,
        [
            "body\nFrom here\n>From there\nFrom is no mark here",
            "second",
            "last"
        ]
    );
    assert_eq!(found.len(), 4);
    assert!(matches!(&found[2], Err(Problem::Damaged(_))));
    assert_eq!(all(bytes, 2).len(), 2);
}

#[test]
fn messages_inside_messages_and_parts_without_end_stop_at_a_limit() {
    let nested = "Content-Type: message/rfc822\n\n".repeat(200_000);
    assert_eq!(
        read(Kind::Mail, nested.as_bytes()).metadata["attachments"],
        "message/rfc822"
    );
    let mut deep = String::from("Subject: x\n");
    for level in 0..100_000 {
        deep.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        ));
    }
    let flat = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\n\n".repeat(2_000_000)
    );
    let fields = "a: b\n".repeat(2_000_000);
    for (bytes, name) in [
        (deep, "max_mail_depth"),
        (flat, "max_mail_parts"),
        (fields, "max_mail_header_bytes"),
    ] {
        let (found, held) = peak(|| problem(Kind::Mail, bytes.as_bytes()));
        assert!(
            matches!(&found, Problem::Limit(reason) if reason.contains(name)),
            "{found}"
        );
        assert!(held < 64 << 20, "{name}: {held} bytes held");
    }
}
