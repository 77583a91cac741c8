use std::path::{Path, PathBuf};
use std::time::Instant;

use _native::chunk::{self, Chunk};
use _native::document::MediaType;
use _native::extract::Extracted;
use _native::tokens::{Encoder, Encoding};
use proptest::prelude::*;

use crate::tokenizing::encoder;
use crate::{ingest, settings};

fn split(text: &str, media: MediaType, budget: usize, overlap: usize) -> Vec<Chunk> {
    let encoding = encoder().encode_with_offsets(text).unwrap();
    chunk::split(text, media, &encoding, budget, overlap)
}

fn pieces<'t>(text: &'t str, chunks: &[Chunk]) -> Vec<&'t str> {
    chunks
        .iter()
        .map(|chunk| &text[chunk.span.clone()])
        .collect()
}

/// What holds for every text: order, cover, overlap as asked for, and no chunk over the budget when encoded alone.
fn check(encoder: &Encoder, text: &str, chunks: &[Chunk], budget: usize, overlap: usize) {
    let mut reached = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.index as usize, index);
        assert!(chunk.span.start <= reached, "a gap before chunk {index}");
        assert!(chunk.span.end > reached, "chunk {index} brings nothing new");
        let shared = encoder
            .encode(&text[chunk.span.start..reached])
            .unwrap()
            .len();
        assert!(
            shared <= overlap + chunk::MARGIN,
            "{shared} tokens shared, {overlap} asked for"
        );
        if overlap == 0 {
            assert_eq!(chunk.span.start, reached);
        }
        let alone = encoder.encode(&text[chunk.span.clone()]).unwrap().len();
        assert!(
            alone <= budget,
            "chunk {index}: {alone} tokens over {budget}: {:?}",
            &text[chunk.span.clone()]
        );
        reached = chunk.span.end;
    }
    assert_eq!(reached, text.len());
}

#[test]
fn a_short_text_is_one_chunk_and_an_empty_one_none() {
    let chunks = split("A short text.", MediaType::Text, 100, 10);
    assert_eq!(pieces("A short text.", &chunks), ["A short text."]);
    assert!(split("", MediaType::Text, 100, 0).is_empty());
}

#[test]
fn a_text_whose_tokens_vanish_is_still_covered() {
    let chunks = chunk::split("text", MediaType::Text, &Encoding::default(), 10, 0);
    assert_eq!(
        chunks,
        [Chunk {
            index: 0,
            span: 0..4,
            tokens: 0
        }]
    );
}

#[test]
fn headings_win_over_paragraphs_and_paragraphs_over_lines() {
    let part = "A document is read and cut into chunks.\nIt is sent to a model.\n\nAnother paragraph is here.\n\n";
    let text = format!("# One\n\n{part}## Two\n\n{part}## Three\n\n{part}");
    let size = encoder().encode(&text).unwrap().len();
    let chunks = split(&text, MediaType::Markdown, size / 2 + 12, 0);
    let starts: Vec<&str> = pieces(&text, &chunks)
        .iter()
        .map(|piece| piece.lines().next().unwrap())
        .collect();
    assert_eq!(starts, ["# One", "## Two", "## Three"]);
    let text = part.repeat(6);
    let chunks = split(
        &text,
        MediaType::Text,
        encoder().encode(part).unwrap().len() + 14,
        0,
    );
    assert!(
        pieces(&text, &chunks)
            .iter()
            .all(|piece| piece.ends_with("\n\n")),
        "{:?}",
        pieces(&text, &chunks)
    );
}

#[test]
fn a_number_sign_in_a_code_fence_is_no_heading() {
    let text = "Words of a document here.\n\n```\n# comment\nSELECT name;\n```\n\nMore words of the document, to be read.\n".repeat(4);
    let chunks = split(&text, MediaType::Markdown, 60, 0);
    assert!(
        pieces(&text, &chunks)
            .iter()
            .all(|piece| !piece.starts_with("# comment"))
    );
}

#[test]
fn a_code_fence_or_table_that_fits_is_kept_whole() {
    let fence = format!("```\n{}```\n\n", "SELECT name FROM table_name;\n".repeat(4));
    let table = format!(
        "| a | b |\n| --- | --- |\n{}\n",
        "| dog | fox |\n".repeat(6)
    );
    let words = format!("{}\n\n", "Words. ".repeat(9));
    let text = format!("{words}{fence}{words}{table}{words}");
    let size = |text: &str| encoder().encode(text).unwrap().len();
    let budget = size(&fence).max(size(&table)) + 12;
    let chunks = split(&text, MediaType::Markdown, budget, 0);
    let pieces = pieces(&text, &chunks);
    assert!(
        pieces.iter().any(|piece| piece.contains(&fence)),
        "{pieces:#?}"
    );
    assert!(
        pieces.iter().any(|piece| piece.contains(table.trim_end())),
        "{pieces:#?}"
    );
}

#[test]
fn a_heading_is_not_parted_from_its_text() {
    let text =
        "Some words of a document.\n\n## Heading\n\nText below the heading that is read.\n\n"
            .repeat(8);
    for budget in 24..60 {
        let chunks = split(&text, MediaType::Markdown, budget, 0);
        for piece in pieces(&text, &chunks) {
            assert!(
                !piece.trim_end().ends_with("## Heading"),
                "{budget}: {piece:?}"
            );
        }
    }
}

#[test]
fn underlined_headings_of_plain_manuals_count() {
    let part = |name: &str| {
        format!(
            "{name}\n{}\nWords of a manual are here.\nAnd more.\n\nLast words of it.\n\n",
            "-".repeat(name.len())
        )
    };
    let text = ["NAME", "SYNOPSIS", "OPTIONS"].map(part).concat();
    let budget = encoder().encode(&part("SYNOPSIS")).unwrap().len() + 12;
    let chunks = split(&text, MediaType::Text, budget, 0);
    assert!(
        pieces(&text, &chunks)[1].starts_with("SYNOPSIS\n-"),
        "{:?}",
        pieces(&text, &chunks)
    );
}

#[test]
fn neighbours_share_the_overlap() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
    let chunks = split(&text, MediaType::Text, 80, 15);
    check(&encoder(), &text, &chunks, 80, 15);
    let shared = chunks
        .windows(2)
        .filter(|pair| pair[1].span.start < pair[0].span.end)
        .count();
    assert_eq!(shared, chunks.len() - 1, "{chunks:?}");
}

#[test]
fn a_text_without_any_border_is_cut_between_characters() {
    for unit in ["a", "é", "漢", "👩‍👩‍👧", "\u{1f600}", "=", " ", "\n", "9"] {
        let text = unit.repeat(2000);
        let chunks = split(&text, MediaType::Text, 40, 0);
        assert!(chunks.len() > 1 || encoder().encode(&text).unwrap().len() <= 40);
        check(&encoder(), &text, &chunks, 40, 0);
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-zA-Z]{1,12} ",
        1 => "[a-z]{3,9}[.!?] ",
        1 => Just("\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => "\n#{1,4} [A-Z][a-z]{2,8}\n\n",
        1 => "\n- [a-z]{1,9}\n",
        1 => Just("\n```\nx = 1\n\n# y\n```\n".to_owned()),
        1 => Just("\n| a | b |\n|---|---|\n| c | d |\n\n".to_owned()),
        1 => "\\PC{1,8}",
        1 => " {2,9}",
        1 => "[0-9]{1,20}",
        1 => "[=\\-*.]{3,30}\n",
    ];
    prop::collection::vec(part, 0..150).prop_map(|parts| parts.concat())
}

fn any_media() -> impl Strategy<Value = MediaType> {
    prop::sample::select(vec![
        MediaType::Text,
        MediaType::Markdown,
        MediaType::Html,
        MediaType::Code,
        MediaType::Csv,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn chunks_cover_the_text_in_order_and_keep_the_budget(
        text in any_text(), media in any_media(), budget in 24usize..200, overlap in prop_oneof![Just(0usize), 1usize..40],
    ) {
        let encoder = encoder();
        let encoding = encoder.encode_with_offsets(&text).unwrap();
        let chunks = chunk::split(&text, media, &encoding, budget, overlap);
        check(&encoder, &text, &chunks, budget, overlap);
        if overlap == 0 {
            let tokens: usize = chunks.iter().map(|chunk| chunk.tokens).sum();
            prop_assert_eq!(tokens, if chunks.is_empty() { 0 } else { encoding.ids.len() }, "a token is lost or doubled");
        }
    }

    /// Whatever the budget, cutting ends and loses nothing, and characters stay whole (slicing would panic).
    #[test]
    fn even_absurd_budgets_cover_the_text(text in "\\PC{0,60}", budget in 0usize..12, overlap in 0usize..12) {
        let chunks = split(&text, MediaType::Text, budget, overlap);
        let mut reached = 0;
        for chunk in &chunks {
            prop_assert!(chunk.span.start <= reached && chunk.span.end > reached);
            prop_assert!(!text[chunk.span.clone()].is_empty());
            reached = chunk.span.end;
        }
        prop_assert_eq!(reached, text.len());
    }
}

/// A real tokenizer over real documents: RUNNER_TOKENIZER=tokenizer.json RUNNER_CORPUS=FOLDER; prints fill and alignment.
#[test]
#[ignore = "needs RUNNER_TOKENIZER and RUNNER_CORPUS; run with --nocapture"]
fn no_chunk_of_a_corpus_is_over_the_budget() {
    let encoder =
        Encoder::open(&PathBuf::from(std::env::var("RUNNER_TOKENIZER").unwrap())).unwrap();
    let folder = std::env::var("RUNNER_CORPUS").unwrap();
    let (budget, mut chunks, mut tokens, mut bytes, mut headed, mut over, mut worst) =
        (512, 0, 0, 0, 0, 0, 0i64);
    let (mut encode_s, mut split_s) = (0.0, 0.0);
    for row in ingest(&settings(&[Path::new(&folder)])) {
        let Extracted::Document(document) = row else {
            continue;
        };
        let (text, media) = (&document.text, document.media_type);
        let started = Instant::now();
        let encoding = encoder.encode_with_offsets(text).unwrap();
        encode_s += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let cut = chunk::split(text, media, &encoding, budget, 0);
        split_s += started.elapsed().as_secs_f64();
        let mut reached = 0;
        for chunk in &cut {
            assert_eq!(chunk.span.start, reached);
            reached = chunk.span.end;
            let alone = encoder.encode(&text[chunk.span.clone()]).unwrap().len();
            over += usize::from(alone > budget);
            worst = worst.max(alone as i64 - chunk.tokens as i64);
            headed += usize::from(text[chunk.span.clone()].starts_with('#'));
        }
        assert_eq!(reached, text.len());
        bytes += text.len();
        tokens += encoding.ids.len();
        chunks += cut.len();
    }
    let mb = bytes as f64 / 1e6;
    println!(
        "{mb:.1} MB, {tokens} tokens, {chunks} chunks, fill {:.2}, at a heading {headed}, over {over}, worst difference {worst}; encode {:.2} MB/s, split {:.1} MB/s",
        tokens as f64 / (chunks * budget) as f64,
        mb / encode_s,
        mb / split_s,
    );
    assert_eq!(over, 0);
}
