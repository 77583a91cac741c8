//! The short way to a request gives what the long one gives.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Plan, Planned};
use crate::dispatch::tests::settings;
use crate::document::{Digest, Document, MediaType, Ordinal, Origin, Place};
use crate::template::Fields;

proptest! {
    #[test]
    fn a_short_document_gives_what_cutting_gives(text in "[a-c \n#é]{1,80}", window in 33u32..200, overlap in 0u32..3) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = settings(folder.path());
        settings.model.max_model_len = window + 60;
        settings.ingest.chunk_overlap_tokens = overlap;
        let plan = Plan::new(&settings).expect("a valid plan");
        let document = Document {
            ordinal: Ordinal { file: 0, record: 0 },
            uri: "a".into(),
            doc_id: Digest::of(text.as_bytes()),
            media_type: MediaType::Markdown,
            title: None,
            origin: Origin {
                places: vec![Place { name: "page 1".into(), from: 0, to: text.len() }],
                ..Origin::default()
            },
            text,
            metadata: BTreeMap::new(),
        };
        let identity = Digest::of(b"identity");
        let (fields, empty) = (Fields::default(), "");
        if let Some(short) = plan.short(&document, &fields, empty, &identity).expect("encodes") {
            prop_assert_eq!(&short.places, &Some(["page 1".to_owned(), "page 1".to_owned()]));
            prop_assert_eq!(Ok(vec![short]), plan.cut(&document, &fields, empty, &identity));
        } else {
            prop_assert!(document.text.len() + 24 > window as usize);
        }
    }
}

const WORDS: [&str; 5] = ["[UNK]", "poison", "one", "two", "three"];

fn words_of(text: &str) -> Vec<u32> {
    let id = |word| WORDS.iter().position(|known| *known == word).unwrap_or(0);
    let ids = text
        .split_whitespace()
        .map(|word| u32::try_from(id(word)).unwrap());
    ids.collect()
}

proptest! {
    #[test]
    fn a_request_says_which_of_its_tokens_are_the_document(
        words in prop::collection::vec(1usize..5, 1..120), evidence: bool, window in 40u32..200
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = settings(folder.path());
        settings.job.evidence = evidence;
        settings.job.template = "one two {{ title }} {{ document }} three poison".into();
        settings.model.max_model_len = window + 60;
        let plan = Plan::new(&settings).expect("a valid plan");
        let text = words.iter().map(|&word| WORDS[word]).collect::<Vec<_>>().join(" ");
        let document = Document {
            ordinal: Ordinal { file: 0, record: 0 },
            uri: "a".into(),
            doc_id: Digest::of(text.as_bytes()),
            media_type: MediaType::Text,
            title: Some("three".into()),
            text: format!("{text}\n"),
            metadata: BTreeMap::new(),
            origin: Origin::default(),
        };
        let Planned::Requests { requests, .. } = plan.prepare(document, None).work else {
            panic!("this text can be cut")
        };
        for part in requests {
            let source = part.request.source;
            let (first, count) = (source.first as usize, source.count as usize);
            let [from, to] = part.span.map(|end| usize::try_from(end).unwrap());
            let shown = text.get(from..to).unwrap_or(&text[from..]);
            let said = &part.request.token_ids[first..first + count];
            prop_assert_eq!(said, if evidence { words_of(shown) } else { Vec::new() });
        }
    }
}

#[test]
fn a_template_that_changes_the_text_is_refused_only_when_quotes_are_looked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = settings(folder.path());
    settings.job.template = "{{ document | upper }}".into();
    Plan::new(&settings).expect("nothing is looked for");
    settings.job.evidence = true;
    let problem = Plan::new(&settings)
        .err()
        .expect("it must be refused")
        .to_string();
    assert!(
        problem.contains("job.template changes the document"),
        "{problem}"
    );
    settings.job.template = "{{ document | trim }}".into();
    Plan::new(&settings).expect("white space is not what is quoted");
}
