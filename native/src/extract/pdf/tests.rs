//! What a PDF becomes, on files that these tests write themselves. They need PDFium: RUNNER_PDFIUM is the absolute path of the
//! shared library in the pypdfium2 wheel (Makefile). Without it they say so and, under RUNNER_REQUIRE_ALL=1, fail.

mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use writer::Pdf;

const LIMITS: PdfLimits = PdfLimits {
    text_bytes: 1 << 20,
    pages: 100,
};

/// Tests run on many threads, and a process has one PDFium.
static TURN: Mutex<()> = Mutex::new(());

struct Pdfium {
    library: Library,
    _turn: MutexGuard<'static, ()>,
}

fn path() -> Option<PathBuf> {
    let path = std::env::var_os("RUNNER_PDFIUM").filter(|path| !path.is_empty());
    if path.is_none() {
        let required = std::env::var("RUNNER_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "RUNNER_REQUIRE_ALL=1 and RUNNER_PDFIUM is not set"
        );
        eprintln!("skipped: RUNNER_PDFIUM is not set");
    }
    path.map(PathBuf::from)
}

fn pdfium() -> Option<Pdfium> {
    let path = path()?;
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let library = Library::open(&path).expect("PDFium opens");
    Some(Pdfium {
        library,
        _turn: turn,
    })
}

impl Pdfium {
    fn text(&mut self, bytes: &[u8]) -> Result<PdfText, PdfProblem> {
        self.within(bytes, LIMITS)
    }

    fn within(&mut self, bytes: &[u8], limits: PdfLimits) -> Result<PdfText, PdfProblem> {
        self.library
            .text(bytes, &limits, &mut |_, _| ControlFlow::Continue(()))
    }
}

fn page_texts(found: &PdfText) -> Vec<&str> {
    found
        .pages
        .iter()
        .map(|page| &found.text[page.clone()])
        .collect()
}

#[test]
fn pages_come_in_order_with_their_ranges_and_an_empty_line_between() {
    let Some(mut pdfium) = pdfium() else { return };
    let pdf = Pdf::new()
        .page(&["First line", "second line"])
        .page(&[])
        .page(&["Third page"]);
    let found = pdfium.text(&pdf.bytes()).unwrap();
    assert_eq!(found.text, "First line\nsecond line\n\nThird page");
    assert_eq!(
        page_texts(&found),
        ["First line\nsecond line", "", "Third page"]
    );
    assert_eq!((found.empty_pages, found.damaged_pages), (1, 0));
}

#[test]
fn words_cut_at_a_line_end_are_whole_again() {
    let Some(mut pdfium) = pdfium() else { return };
    let pdf = Pdf::new().page(&[
        "This is a long exam-",
        "ple for the R-",
        "help list of 1-",
        "2",
    ]);
    let found = pdfium.text(&pdf.bytes()).unwrap();
    let words: Vec<&str> = found.text.split_whitespace().collect();
    assert_eq!(
        words.join(" "),
        "This is a long example for the R-help list of 1- 2"
    );
}

#[test]
fn information_of_the_file_is_title_and_metadata() {
    let Some(mut pdfium) = pdfium() else { return };
    let pdf = Pdf::new()
        .page(&["x"])
        .info("Title", "Über  die\nQuelle")
        .info("Author", "名前")
        .info("Subject", " ");
    let found = pdfium.text(&pdf.bytes()).unwrap();
    assert_eq!(found.title.as_deref(), Some("Über die Quelle"));
    let metadata: Vec<_> = found
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(metadata, [("author", "名前"), ("pages", "1")]);
}

#[test]
fn letters_of_every_script_survive_and_right_to_left_comes_in_reading_order() {
    let Some(mut pdfium) = pdfium() else { return };
    // Glyphs stand from left to right on the page, so Hebrew is drawn last letter first.
    let pdf = Pdf::new()
        .mapped(&["ﬁn", "e\u{301}t", "😀", "漢", "w"])
        .page(&["ABCDE"]);
    assert_eq!(pdfium.text(&pdf.bytes()).unwrap().text, "fine\u{301}t😀漢w");
    let pdf = Pdf::new().mapped(&["ם", "ו", "ל", "ש"]).page(&["ABCD"]);
    assert_eq!(pdfium.text(&pdf.bytes()).unwrap().text, "שלום");
}

#[test]
fn no_zero_and_no_control_character_reaches_the_text() {
    let Some(mut pdfium) = pdfium() else { return };
    let pdf = Pdf::new()
        .mapped(&["a", "\u{0}", "b", "\u{1c}", "\u{ffff}"])
        .page(&["ABCDE"]);
    let found = pdfium.text(&pdf.bytes()).unwrap();
    let odd = |c: char| c.is_control() || c == '\u{ffff}';
    assert!(!found.text.contains(odd), "{:?}", found.text);
    assert!(found.text.contains('a') && found.text.contains('b'));
}

#[test]
fn pages_without_text_are_no_text_layer() {
    let Some(mut pdfium) = pdfium() else { return };
    let problem = pdfium
        .text(&Pdf::new().page(&[]).page(&[" "]).bytes())
        .unwrap_err();
    assert_eq!(problem, PdfProblem::NoTextLayer { pages: 2 });
    let verdict = (
        RejectedStatus::Skipped,
        "no text layer (2 pages)".to_owned(),
    );
    assert_eq!(problem.verdict(), Some(verdict));
}

#[test]
fn a_password_is_asked_for_only_where_reading_needs_one() {
    let Some(mut pdfium) = pdfium() else { return };
    let locked = pdfium.text(include_bytes!("tests/user_password.pdf"));
    assert_eq!(locked, Err(PdfProblem::Encrypted));
    let open = pdfium
        .text(include_bytes!("tests/owner_password.pdf"))
        .unwrap();
    assert_eq!(open.text, "Open to every reader");
}

#[test]
fn bytes_that_are_no_pdf_are_damaged() {
    let Some(mut pdfium) = pdfium() else { return };
    let whole = Pdf::new().page(&["Some text"]).bytes();
    let no_pages = Pdf::new().bytes();
    for bytes in [
        &b""[..],
        b"%PDF-1.7\n",
        b"no PDF at all",
        &whole[..40],
        &no_pages,
    ] {
        let problem = pdfium.text(bytes).unwrap_err();
        assert!(matches!(problem, PdfProblem::Damaged(_)), "{problem:?}");
        let (status, reason) = problem.verdict().unwrap();
        assert_eq!(status, RejectedStatus::Failed);
        assert!(reason.starts_with("damaged pdf: "), "{reason}");
    }
}

#[test]
fn a_page_that_cannot_be_read_is_counted_and_the_others_are_kept() {
    let Some(mut pdfium) = pdfium() else { return };
    let mut pdf = Pdf::new().page(&["Good page"]);
    pdf.lost_page();
    let found = pdfium.text(&pdf.bytes()).unwrap();
    assert_eq!(page_texts(&found), ["Good page", ""]);
    assert_eq!((found.damaged_pages, found.empty_pages), (1, 0));
    let mut pdf = Pdf::new();
    pdf.lost_page();
    let detail = "1 of 1 pages cannot be read".to_owned();
    assert_eq!(pdfium.text(&pdf.bytes()), Err(PdfProblem::Damaged(detail)));
}

#[test]
fn a_limit_fails_the_whole_file_and_tells_the_number() {
    let Some(mut pdfium) = pdfium() else { return };
    let bytes = Pdf::new().page(&["abcd"]).page(&["efgh"]).bytes();
    let limits = |text_bytes, pages| PdfLimits { text_bytes, pages };
    assert!(pdfium.within(&bytes, limits(10, 2)).is_ok());
    let text = PdfProblem::Limit("limit max_text_bytes: 10 over 9".to_owned());
    assert_eq!(pdfium.within(&bytes, limits(9, 2)), Err(text));
    let pages = PdfProblem::Limit("limit max_pdf_pages: 2 over 1".to_owned());
    assert_eq!(pdfium.within(&bytes, limits(10, 1)), Err(pages));
}

#[test]
fn progress_is_told_before_each_page_and_may_stop() {
    let Some(mut pdfium) = pdfium() else { return };
    let bytes = Pdf::new().page(&["a"]).page(&["b"]).page(&["c"]).bytes();
    let mut told = Vec::new();
    let stopped = pdfium.library.text(&bytes, &LIMITS, &mut |page, pages| {
        told.push((page, pages));
        if page == 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(stopped, Err(PdfProblem::Stopped));
    assert_eq!(told, [(0, 3), (1, 3)]);
}

#[test]
fn a_process_has_one_library_at_a_time_and_can_open_it_again() {
    let Some(first) = pdfium() else { return };
    let path = path().unwrap();
    let second = Library::open(&path).err().unwrap();
    assert_eq!(second, "PDFium is already open in this process");
    let Pdfium { library, _turn } = first;
    assert!(
        library.version().split('.').count() == 4,
        "{}",
        library.version()
    );
    drop(library);
    let mut again = Library::open(&path).unwrap();
    let bytes = Pdf::new().page(&["again"]).bytes();
    let found = again
        .text(&bytes, &LIMITS, &mut |_, _| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(found.text, "again");
}

#[test]
fn a_library_that_cannot_be_used_is_named_with_the_cure_and_does_not_block_the_next() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libpdfium.so");
    std::fs::write(&text, "no library").unwrap();
    let missing = folder.path().join("missing.so");
    for path in [Path::new("libpdfium.so"), &missing, &text] {
        let message = Library::open(path).err().unwrap();
        assert!(message.contains(&*path.to_string_lossy()), "{message}");
        assert!(message.ends_with("reinstall pypdfium2"), "{message}");
    }
}

/// Compiles only while `Library` is neither Send nor Sync: otherwise the choice of `A` is ambiguous.
#[test]
fn the_library_cannot_leave_its_thread() {
    trait Stays<A> {
        fn here() {}
    }
    struct Sends;
    struct Shares;
    impl<T> Stays<()> for T {}
    impl<T: Send> Stays<Sends> for T {}
    impl<T: Sync> Stays<Shares> for T {}
    <Library as Stays<_>>::here();
}
