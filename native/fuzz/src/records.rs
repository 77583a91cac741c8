//! What the runner reads back: its journal, the answers of extract workers, and the user's templates.

use std::fs;

use _native::extract::convert::{Answer, Part};
use _native::journal::frame::{self, FILE_HEADER, FRAME_HEADER};
use _native::journal::reader::{replay, scan};
use _native::template::{Fields, JobTemplate};

use crate::SETTINGS;
use crate::files::scratch;

/// Behind the good end is a torn tail: without it the file reads the same, and to its end.
pub fn journal(bytes: &[u8]) {
    let path = scratch("journal");
    fs::write(&path, bytes).expect("the file can be written");
    let mut before = Vec::new();
    let found = scan(&path, |good| {
        before.push((good.offset, good.crc, good.end()));
        Ok(())
    });
    let _any = replay(&path);
    let Ok(found) = found else { return };
    assert!(found.good_end <= found.file_len && found.file_len == bytes.len() as u64);
    assert_eq!(found.frames, before.len() as u64);
    let Some((_, _, end)) = before.last().copied() else {
        return;
    };
    assert_eq!(end, found.good_end);
    let kept = usize::try_from(found.good_end).expect("inside the file");
    fs::write(&path, &bytes[..kept]).expect("the file can be written");
    let mut after = Vec::new();
    let again = scan(&path, |good| {
        after.push((good.offset, good.crc, good.end()));
        Ok(())
    });
    assert_eq!(again.expect("good frames alone").good_end, found.good_end);
    assert_eq!(before, after);
}

/// Checksums are right here, so that what lies behind them is reached: kind, version and body of each record.
pub fn frames(bytes: &[u8]) {
    let mut file = frame::file_header().to_vec();
    for body in bytes.split(|byte| *byte == b'\n') {
        let (kind, body) = body
            .split_first()
            .map_or((0, body), |(kind, body)| (kind % 16, body));
        let at = file.len();
        frame::push(&mut file, kind, FILE_HEADER as u64, body);
        let read = frame::check(&file[at..], at as u64).expect("our own frame");
        assert_eq!((read.kind, read.body), (kind, body));
        assert_eq!(read.end(), (at + FRAME_HEADER + body.len()) as u64);
        if let Ok(record) = frame::decode(&read) {
            let (kind, body) = frame::body_of(&record).expect("what was read can be written");
            let mut second = Vec::new();
            frame::push(&mut second, kind, 0, &body);
            let again = frame::check(&second, 0).expect("our own frame");
            assert_eq!(frame::decode(&again).as_ref(), Ok(&record));
        }
    }
    let path = scratch("frames");
    fs::write(&path, &file).expect("the file can be written");
    if let Ok((state, found)) = replay(&path) {
        assert_eq!(found.good_end, file.len() as u64);
        let _all = (
            state.outstanding(),
            state.suspects(),
            state.unfinished().len(),
        );
    }
}

/// The first line is the answer, the rest its text: a range that is not whole letters of it is refused.
pub fn answer(bytes: &[u8]) {
    let bytes = String::from_utf8_lossy(bytes);
    let (line, text) = bytes.split_once('\n').unwrap_or((&bytes, ""));
    let Ok(answer) = Answer::read(line, text) else {
        return;
    };
    assert!(!answer.parts.is_empty());
    for part in &answer.parts {
        if let Part::Document { from, to, .. } = part {
            assert!(text.get(*from..*to).is_some(), "{from}..{to}");
        }
    }
}

/// A template is refused, or renders or fails its document; it ends.
pub fn template(bytes: &[u8]) {
    let mut job = SETTINGS.job.clone();
    job.template = String::from_utf8_lossy(bytes).into_owned();
    job.reduce_template = None;
    if let Ok(template) = JobTemplate::compile(&job) {
        let fields = Fields {
            title: "A title".to_owned(),
            path: "a.txt".to_owned(),
            ..Fields::default()
        };
        let _any = template.render("The document.", &fields);
    }
}
