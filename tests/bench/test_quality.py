"""Counters of what a reader gave: words kept, and the structure of the Markdown."""

import pytest

from runner.bench.ingest import quality


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n\ntext\n\n### Three\n#no heading\n####### seven\n", (2, 0, 0, 0)),
        ("- # in a list\n> ## in a quote\n1. # numbered\n", (3, 0, 0, 0)),
        ("| a | b |\n| --- | :-: |\n| 1 | 2 |\n| 3 | 4 |\n\ntext\n\n| c |\n|---|\n", (0, 2, 4, 0)),
        ("text | with a bar\n|| or ||\n", (0, 1, 1, 0)),
        ("```sql\n# comment\n| x |\n```\n# after\n", (1, 0, 0, 1)),
        ("````\n```\n# still code\n````\n~~~\n# code\n~~~\n", (0, 0, 0, 2)),
        ("> ```\n> # code\n> ```\n- ```\n  # code\n  ```\n", (0, 0, 0, 2)),
        ("```\n# never closed\n", (0, 0, 0, 1)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_headings_tables_rows_and_fences_are_counted_outside_of_code(
    text: str, expected: tuple[int, int, int, int]
) -> None:
    found = quality.structure(text)
    assert (found.headings, found.tables, found.rows, found.fences) == expected


def test_a_text_without_a_reference_has_no_extra_words() -> None:
    both = quality.judge("one two two two", quality.words("one two"))
    both += quality.judge("three four five six", None)
    assert (both.words, both.kept, both.extra) == (8, 1, 0.5)


def test_lost_words_lower_what_is_kept_and_doubled_ones_raise_the_extra() -> None:
    reference = quality.words("one two two three")
    assert quality.judge("one two three two", reference).kept == 1
    assert quality.judge("one two two three", reference).extra == 0
    half = quality.judge("one two", reference)
    assert (half.kept, half.extra) == (0.5, 0)
    doubled = quality.judge("one two two three " * 2, reference)
    assert (doubled.kept, doubled.extra) == (1, 0.5)
    assert quality.judge("", reference).kept == 0
    assert quality.judge("words", None).kept is None


def test_marks_around_a_word_and_its_place_do_not_count() -> None:
    reference = quality.words("bold code link")
    assert quality.judge("[link](x) `code`\n\n**bold**", reference).kept == 1


@pytest.mark.parametrize("text", ["exam-\nple", "exam\u0002\r\nple", "example", "exam\ufffeple", "exam-ple"])
def test_a_word_cut_at_the_end_of_a_line_is_the_same_word(text: str) -> None:
    assert quality.judge(text, quality.words("example", hyphens=False), hyphens=False).kept == 1


def test_the_reference_of_a_page_is_what_a_reader_sees() -> None:
    page = b"""<html><head><title>no</title><style>no</style></head><body>one<script>no("<p>")</script><b>two</b>
    <template><p>no</p></template><p>caf&eacute;<pre>four</pre></body></html>"""
    assert quality.page_text(page).split() == ["one", "two", "café", "four"]


def test_a_page_without_the_end_of_its_head_is_not_lost() -> None:
    assert quality.page_text(b"<head><meta charset=utf-8><body><p>all of it").split() == ["all", "of", "it"]


@pytest.mark.parametrize(
    ("page", "word"),
    [
        (b"<meta charset='iso-8859-1'><body>caf\xe9", "café"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><html><body>caf\xe9</body></html>', "café"),
        ("<body>café".encode(), "café"),
        ("<meta charset=unheard-of><body>café".encode(), "café"),
    ],
)
def test_the_reference_is_read_in_the_pages_own_encoding(page: bytes, word: str) -> None:
    assert quality.page_text(page).split() == [word]
