use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use _native::discover::{self, Discovered};
use _native::error::Error;
use _native::settings::IngestSettings;

use crate::settings;

fn touch(root: &Path, names: &[&str]) {
    for name in names {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "text").unwrap();
    }
}

/// "a.md" for a file, "b: symbolic link" for a rejected path; relative to `root`.
fn listed(root: &Path, settings: &IngestSettings) -> Vec<String> {
    let root = format!("{}/", root.to_str().unwrap());
    discover::walk(settings)
        .unwrap()
        .map(|found| match found {
            Discovered::File(source) => source.uri.replace(&root, ""),
            Discovered::Rejected(row) => format!("{}: {}", row.uri.replace(&root, ""), row.reason),
        })
        .collect()
}

fn config_problem(settings: &IngestSettings) -> (String, String) {
    match discover::walk(settings) {
        Err(Error::Config { problem, hint }) => (problem, hint),
        other => panic!("{:?}", other.map(Iterator::count)),
    }
}

#[test]
fn files_come_in_bytewise_order_whatever_the_order_of_their_making() {
    let folder = tempfile::tempdir().unwrap();
    touch(
        folder.path(),
        &["b.md", "a/z.md", "B.md", "a/b/c.md", "é.md", "a.md"],
    );
    let settings = settings(&[folder.path()]);
    let expected = ["B.md", "a/b/c.md", "a/z.md", "a.md", "b.md", "é.md"];
    assert_eq!(listed(folder.path(), &settings), expected);
    assert_eq!(listed(folder.path(), &settings), expected);
}

#[test]
fn hidden_and_ignored_files_are_no_inputs_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    touch(
        folder.path(),
        &[".hidden.md", "a.md", "draft.md", "sub/skip.md", ".git/x.md"],
    );
    fs::write(folder.path().join(".gitignore"), "draft.md\n").unwrap();
    fs::write(folder.path().join("sub/.ignore"), "skip.md\n").unwrap();
    let mut settings = settings(&[folder.path()]);
    assert_eq!(listed(folder.path(), &settings), ["a.md"]);
    settings.ignore_files = false;
    assert_eq!(
        listed(folder.path(), &settings),
        ["a.md", "draft.md", "sub/skip.md"]
    );
    settings.hidden = true;
    assert!(listed(folder.path(), &settings).contains(&".hidden.md".to_owned()));
}

#[test]
fn an_ignore_file_above_the_input_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["in/a.md"]);
    fs::write(folder.path().join(".gitignore"), "*.md\n").unwrap();
    let input = folder.path().join("in");
    assert_eq!(listed(&input, &settings(&[&input])), ["a.md"]);
}

#[test]
fn include_and_exclude_only_narrow() {
    let folder = tempfile::tempdir().unwrap();
    touch(
        folder.path(),
        &[
            "a.md",
            "b.txt",
            ".c.md",
            "old/d.md",
            "keep/e.bin",
            "draft.md",
        ],
    );
    fs::write(folder.path().join(".gitignore"), "draft.md\n").unwrap();
    let mut settings = settings(&[folder.path()]);
    settings.include = vec!["*.md".to_owned(), "keep/".to_owned()];
    settings.exclude = vec!["old/".to_owned()];
    assert_eq!(listed(folder.path(), &settings), ["a.md", "keep/e.bin"]);
    // A file that the user names is taken in spite of both.
    let named = folder.path().join("b.txt");
    settings.inputs = vec![named.to_str().unwrap().to_owned()];
    assert_eq!(listed(folder.path(), &settings), ["b.txt"]);
}

#[test]
fn what_is_no_regular_file_is_a_row_and_is_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    touch(folder.path(), &["a.md", "dir.md/inner.md"]);
    symlink(path("a.md"), path("link.md")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    symlink(folder.path(), path("loop")).unwrap();
    let _listener = UnixListener::bind(path("socket")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path("pipe.txt"))
        .status()
        .unwrap();
    assert!(made.success());
    let mut settings = settings(&[folder.path()]);
    let expected = [
        "a.md",
        "dangling: symbolic link",
        "dir.md/inner.md",
        "link.md: symbolic link",
        "loop: symbolic link",
        "pipe.txt: not a regular file: fifo",
        "socket: not a regular file: socket",
    ];
    assert_eq!(listed(folder.path(), &settings), expected);
    settings.follow_links = true;
    let followed = listed(folder.path(), &settings);
    assert!(
        followed.contains(&"dangling: unreadable: no such file or folder".to_owned()),
        "{followed:?}"
    );
    assert!(
        followed.contains(&"loop: symbolic link: loop".to_owned()),
        "{followed:?}"
    );
    assert!(followed.contains(&"link.md".to_owned()), "{followed:?}");
}

#[test]
fn an_input_that_is_itself_a_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["real/a.md"]);
    let link = folder.path().join("link");
    symlink(folder.path().join("real"), &link).unwrap();
    assert_eq!(listed(&link, &settings(&[&link])), ["a.md"]);
    let file_link = folder.path().join("one");
    symlink(folder.path().join("real/a.md"), &file_link).unwrap();
    assert_eq!(listed(folder.path(), &settings(&[&file_link])), ["one"]);
}

#[test]
fn a_file_reached_by_two_inputs_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["a.md", "sub/b.md"]);
    let (sub, file) = (folder.path().join("sub"), folder.path().join("a.md"));
    let dotted = folder.path().join("sub/../sub");
    let settings = settings(&[&sub, folder.path(), &file, &dotted, &sub]);
    assert_eq!(listed(folder.path(), &settings), ["sub/b.md", "a.md"]);
}

#[test]
fn files_are_numbered_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["a.md", "c.md"]);
    symlink(folder.path().join("a.md"), folder.path().join("b")).unwrap();
    let numbers: Vec<u32> = discover::walk(&settings(&[folder.path()]))
        .unwrap()
        .map(|found| match found {
            Discovered::File(source) => source.file,
            Discovered::Rejected(row) => row.ordinal.file,
        })
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn all_missing_inputs_and_bad_globs_are_named_at_once_with_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut settings = settings(&[&one, folder.path(), &two]);
    settings.exclude = vec!["a[".to_owned()];
    let (problem, hint) = config_problem(&settings);
    for part in [
        "one: no such file or folder",
        "two: no such file or folder",
        "ingest.exclude glob 'a['",
    ] {
        assert!(problem.contains(part), "{problem}");
    }
    assert!(hint.contains("check the path"), "{hint}");
    assert!(hint.contains("gitignore-style"), "{hint}");
}

#[test]
fn an_empty_folder_is_an_empty_walk() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        discover::walk(&settings(&[folder.path()])).unwrap().count(),
        0
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_utf8_has_a_uri_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let names: [&[u8]; 2] = [b"a\xff.txt", b"a\xfe.txt"];
    for name in names {
        fs::write(folder.path().join(OsStr::from_bytes(name)), "text").unwrap();
    }
    let found = listed(folder.path(), &settings(&[folder.path()]));
    assert_eq!(found.len(), 2);
    assert_ne!(found[0], found[1]);
    assert!(
        found
            .iter()
            .all(|uri| uri.contains("#x") && uri.contains('\u{fffd}'))
    );
    assert!(found[0].ends_with("61fe2e747874"));
}

/// Root reads everything, so the test looks first whether the lock works for whoever runs it.
#[test]
fn an_unreadable_folder_is_a_failed_row_and_the_walk_goes_on() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["closed/a.md", "open.md"]);
    let closed = folder.path().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let locked = fs::read_dir(&closed).is_err();
    let found = listed(folder.path(), &settings(&[folder.path()]));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    if locked {
        assert_eq!(
            found,
            ["closed: unreadable folder: permission denied", "open.md"]
        );
    } else {
        assert_eq!(found, ["closed/a.md", "open.md"]);
    }
}
