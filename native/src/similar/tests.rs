//! Properties of signatures and of the table: the estimate's error, what does not count, and that order alone decides.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn words(numbers: impl Iterator<Item = u64>) -> String {
    let words: Vec<String> = numbers.map(|number| format!("w{number}")).collect();
    words.join(" ")
}

fn set(text: &str) -> HashSet<u64> {
    let mut set = HashSet::new();
    shingles(text, |shingle| {
        set.insert(shingle);
    });
    set
}

#[expect(clippy::cast_precision_loss)]
fn jaccard(one: &str, other: &str) -> f64 {
    let (one, other) = (set(one), set(other));
    one.intersection(&other).count() as f64 / one.union(&other).count() as f64
}

fn estimate(one: &str, other: &str) -> f64 {
    Signature::of(one).similarity(&Signature::of(other))
}

/// A text of `length` words and the same with one word in `every` replaced.
fn changed(length: u32, every: u32, seed: u32) -> (String, String) {
    let word = |at: u32| mix(u64::from(seed) << 32 | u64::from(at)) % 1_000_000;
    let one = words((0..length).map(word));
    let other = words((0..length).map(|at| {
        if at % every == every - 1 {
            word(at) + 1_000_000
        } else {
            word(at)
        }
    }));
    (one, other)
}

proptest! {
    #[test]
    fn an_estimate_lies_within_five_standard_errors(length in 150u32..3000, every in 6u32..400, seed: u32) {
        let (one, other) = changed(length, every, seed);
        let truth = jaccard(&one, &other);
        let error = (truth * (1.0 - truth) / 128.0).sqrt();
        let off = (estimate(&one, &other) - truth).abs();
        prop_assert!(off <= 5.0 * error + 0.01, "{truth} estimated {off} off");
    }

    #[test]
    fn case_punctuation_and_white_space_do_not_count(text in "[a-zA-Z0-9 ,.;\n]{0,400}") {
        prop_assume!(text.contains(|letter: char| letter.is_alphanumeric()));
        let shouted = text.to_uppercase().replace(' ', " \t- ").replace('\n', "\r\n\n");
        prop_assert_eq!(Signature::of(&text), Signature::of(&shouted));
    }

    #[test]
    fn a_signature_takes_any_text(text in ".{0,300}") {
        let signature = Signature::of(&text);
        prop_assert!((signature.similarity(&signature) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_found_is_similar_and_the_first_of_the_most_similar(seeds in prop::collection::vec(0u32..6, 1..40)) {
        let texts: Vec<String> = seeds.iter().map(|seed| changed(300, 200, seed * 77_777).0).collect();
        let mut table = Table::new(0.8, 1 << 20);
        let mut kept: Vec<usize> = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let signature = Signature::of(text);
            let first = texts[..at].iter().position(|before| before == text);
            let found = table.find(&signature);
            prop_assert_eq!(found.map(|found| kept[found.number as usize]), first);
            if let Some(found) = found {
                prop_assert_eq!(table.name(found.number), text);
                prop_assert!((found.similarity - 1.0).abs() < f64::EPSILON);
            } else {
                table.keep(signature, text);
                kept.push(at);
            }
        }
    }
}

#[test]
fn the_mean_estimate_of_short_and_long_texts_is_near_the_truth() {
    for (length, every) in [(40, 20), (100, 50), (1000, 50), (1000, 200)] {
        let mut off = 0.0;
        for seed in 0..200 {
            let (one, other) = changed(length, every, seed * 7919);
            off += estimate(&one, &other) - jaccard(&one, &other);
        }
        let mean = off / 200.0;
        assert!(mean.abs() < 0.015, "{length} words: {mean} off in the mean");
    }
}

#[test]
fn a_text_without_spaces_is_compared_character_by_character() {
    let one = "国境の長いトンネルを抜けると雪国であった。夜の底が白くなった。".repeat(3);
    let other = one.replacen("白くなった", "青くなった", 1);
    assert!(estimate(&one, &other) > 0.6);
    assert!(
        estimate(
            &one,
            "吾輩は猫である。名前はまだ無い。どこで生れたか見当がつかぬ。"
        ) < 0.1
    );
}

#[test]
fn texts_of_few_words_or_none_are_equal_only_to_themselves() {
    for (one, other) in [
        ("one two", "one three"),
        ("?!", "!?!"),
        ("", "x"),
        ("5", "6"),
    ] {
        assert!(estimate(one, other) < 0.1, "{one:?} and {other:?}");
    }
    assert!(estimate("One, two!", "one two") > 0.99);
}

#[test]
fn nearly_every_text_of_nine_tenths_is_found_among_thousands_of_others() {
    let mut table = Table::new(0.85, 10 << 20);
    for seed in 0..4_000u32 {
        let signature = Signature::of(&changed(200, 150, seed).0);
        assert_eq!(table.find(&signature), None, "text {seed} is like no other");
        assert!(table.keep(signature, &seed.to_string()));
    }
    let mut found = 0;
    for seed in 0..4_000u32 {
        let (text, near) = changed(200, 150, seed);
        if seed < 20 {
            assert!(jaccard(&text, &near) > 0.9);
        }
        let twin = table.find(&Signature::of(&near));
        found += u32::from(twin.is_some_and(|twin| twin.number == seed));
    }
    assert!(found >= 3_900, "{found} of 4000 were found");
}

#[test]
fn a_full_table_keeps_nothing_more_and_still_finds() {
    let mut table = Table::new(0.85, Table::BYTES_EACH + 3);
    let (one, _) = changed(100, 100, 1);
    let (two, _) = changed(100, 100, 99_999);
    assert!(table.keep(Signature::of(&one), "one"));
    assert!(!table.keep(Signature::of(&two), "two"));
    assert_eq!(table.kept(), 1);
    assert!(table.find(&Signature::of(&one)).is_some());
    assert!(table.find(&Signature::of(&two)).is_none());
}
