//! What a work's identity and a run's plan key are made of: every setting that decides what an answer says, or which inputs
//! are done. Called by `prepare.rs`.

use crate::document::{Digest, Document};
use crate::extract;
use crate::request::WorkBasis;
use crate::settings::Settings;

/// Equal bytes are read differently as .txt and as .html, so the type is part of what they are; and so is a reader that
/// stepped in for the usual one.
pub(super) fn bytes_as(document: &Document) -> Digest {
    let mut named = format!("{}\0{:?}", document.doc_id.to_hex(), document.media_type);
    if let (true, Some(reader)) = (document.origin.second, &document.origin.reader) {
        named = format!("{named}\0{reader}");
    }
    Digest::of(named.as_bytes())
}

pub(super) fn basis(settings: &Settings, window: usize) -> WorkBasis {
    let ingest = &settings.ingest;
    let ingest_list = serde_json::json!([
        extract::VERSION,
        settings.model.tokenizer_hash,
        window,
        ingest.chunk_overlap_tokens,
        ingest.jsonl,
        ingest.json,
        ingest.csv,
    ]);
    let template_list = serde_json::json!([
        settings.model.prompt_hash,
        settings.job.template,
        settings.job.reduce_template,
    ]);
    let decoding = serde_json::json!([settings.job.decoding, settings.job.max_tokens]);
    let hash = |value: &serde_json::Value| Digest::of(value.to_string().as_bytes()).to_hex();
    WorkBasis {
        ingest_hash: hash(&ingest_list),
        template_hash: hash(&template_list),
        weights_hash: settings.model.weights_hash.clone(),
        decoding: decoding.to_string(),
        schema_hash: settings.job.schema_hash.clone().unwrap_or_default(),
    }
}

/// Limits change which inputs are done, though not what a finished one says.
pub(super) fn plan_key(basis: &WorkBasis, settings: &Settings) -> Digest {
    let list = serde_json::json!([
        basis.plan_key(),
        settings.job.max_documents,
        settings.job.max_chunks,
        settings.ingest.max_file_bytes,
        settings.ingest.max_text_bytes,
        settings.ingest.max_inflate_ratio,
        settings.ingest.max_zip_entries,
        settings.ingest.max_zip_entry_bytes,
        settings.ingest.max_zip_total_bytes,
        settings.ingest.max_pdf_pages,
        settings.ingest.second_pdf_reader,
        settings.ingest.max_xml_depth,
        settings.ingest.max_html_depth,
        settings.ingest.max_json_depth,
        // What an archive is made of is decided when it is read, and for files it is decided before.
        settings.ingest.archives.then_some((
            &settings.ingest.include,
            &settings.ingest.exclude,
            settings.ingest.hidden,
        )),
    ]);
    Digest::of(list.to_string().as_bytes())
}
