//! The short way to a request gives what the long one gives.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Plan;
use crate::dispatch::tests::settings;
use crate::document::{Digest, Document, MediaType, Ordinal, Place};
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
            places: vec![Place { name: "page 1".into(), from: 0, to: text.len() }],
            text,
            metadata: BTreeMap::new(),
            reader: None,
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
