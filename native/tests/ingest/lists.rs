use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use _native::extract::Extracted;
use _native::settings::{IngestSettings, ListSettings, Separator};

use crate::{document, ingest, settings};

/// The settings of a list with these bytes; relative paths begin at `base`.
fn listed(base: &Path, separator: Separator, list: &[u8]) -> IngestSettings {
    let path = base.join("list");
    fs::write(&path, list).unwrap();
    let mut settings = settings(&[]);
    settings.list = Some(ListSettings {
        path: path.to_str().unwrap().to_owned(),
        base: base.to_str().unwrap().to_owned(),
        separator,
    });
    settings
}

/// What stands behind `base`, and the text or the reason.
fn rows(base: &Path, found: &[Extracted]) -> Vec<(String, String)> {
    let base = format!("{}/", base.display());
    found
        .iter()
        .map(|row| match row {
            Extracted::Document(document) => (document.uri.replace(&base, ""), document.text.clone()),
            Extracted::Rejected(row) => (row.uri.replace(&base, ""), format!("{:?}: {}", row.status, row.reason)),
        })
        .collect()
}

fn expect(found: &[(String, String)], wanted: &[(&str, &str)]) {
    let wanted: Vec<(String, String)> =
        wanted.iter().map(|(name, said)| ((*name).to_owned(), (*said).to_owned())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn the_paths_of_a_list_are_inputs_in_its_order_and_a_missing_one_is_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    fs::create_dir(base.join("more")).unwrap();
    for (name, text) in [("z.txt", "z"), ("more/b.txt", "b"), ("more/a.txt", "a"), ("x.txt", "x")] {
        fs::write(base.join(name), text).unwrap();
    }
    let absolute = base.join("x.txt");
    let list = format!("z.txt\n./more\n\ngone.txt\n{}\n.//z.txt\ngone.txt\nmore/../more/a.txt", absolute.display());
    let found = ingest(&listed(&base, Separator::Newline, list.as_bytes()));
    expect(
        &rows(&base, &found),
        &[
            ("z.txt", "z"),
            ("more/a.txt", "a"),
            ("more/b.txt", "b"),
            ("gone.txt", "Failed: unreadable: no such file or folder"),
            ("x.txt", "x"),
        ],
    );
}

#[test]
fn a_name_on_a_list_may_hold_any_byte_but_its_separator() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let names: [&[u8]; 4] = [b"two\nlines.txt", b"latin\xe9.txt", b" blank .txt", b"-"];
    for name in names {
        fs::write(base.join(OsStr::from_bytes(name)), "text").unwrap();
    }
    let found = ingest(&listed(&base, Separator::Nul, &names.join(&0)));
    let uris: Vec<String> = rows(&base, &found).into_iter().map(|(uri, _)| uri).collect();
    assert_eq!(uris.len(), 4);
    assert_eq!(uris[0], "two\nlines.txt");
    assert!(uris[1].starts_with("latin\u{fffd}.txt#x"), "{uris:?}");
    assert_eq!(&uris[2..], [" blank .txt", "-"]);
}

#[test]
fn what_a_list_names_is_taken_whatever_its_name_and_a_pipe_is_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    fs::write(base.join(".hidden.txt"), "shown").unwrap();
    fs::write(base.join("real.txt"), "text").unwrap();
    std::os::unix::fs::symlink(base.join("real.txt"), base.join("link.txt")).unwrap();
    let pipe = base.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut settings = listed(&base, Separator::Newline, b".hidden.txt\nlink.txt\nreal.txt\npipe\n");
    settings.include = vec!["*.md".to_owned()];
    expect(
        &rows(&base, &ingest(&settings)),
        &[
            (".hidden.txt", "shown"),
            ("link.txt", "text"),
            ("pipe", "Skipped: not a regular file: fifo"),
        ],
    );
}

#[test]
fn a_list_that_cannot_be_read_is_an_error_before_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let settings = listed(folder.path(), Separator::Newline, b"a.txt\n");
    fs::remove_file(folder.path().join("list")).unwrap();
    assert!(_native::discover::walk(&settings).is_err());
}

#[test]
fn a_document_from_standard_input_is_named_by_a_dash_and_typed_by_its_copy() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("rows.jsonl");
    fs::write(&copy, "{\"text\": \"one\"}\n{\"text\": \"two\"}\n").unwrap();
    let other = folder.path().join("a.txt");
    fs::write(&other, "file").unwrap();
    let mut settings = settings(&[Path::new("-"), &other]);
    settings.stdin = Some(copy.to_str().unwrap().to_owned());
    let found = ingest(&settings);
    let uris: Vec<&str> = found.iter().map(|row| document(row).uri.as_str()).collect();
    assert_eq!(uris, ["-#1", "-#2", other.to_str().unwrap()]);
}
