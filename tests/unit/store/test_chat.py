"""Question-answer outputs as a model really writes them, read into pairs."""

import pytest

from runner.store.chat import pairs_of


@pytest.mark.parametrize(
    ("output", "pairs"),
    [
        ("Q: What is a page?\nA: A unit of storage.", [("What is a page?", "A unit of storage.")]),
        (
            "**Question 1:** Why?\n**Answer:** Because\nit is so.\n\n**Question 2:** How?\n**Answer:** Thus.",
            [("Why?", "Because\nit is so."), ("How?", "Thus.")],
        ),
        ("Q1. One?\nA1. First.\nQ2. Two?\nA2. Second.", [("One?", "First."), ("Two?", "Second.")]),
        ('[{"question": "Why?", "answer": "So."}]', [("Why?", "So.")]),
        ('{"pairs": [{"question": "Why?", "answer": "So."}, {"question": "", "answer": "x"}]}', [("Why?", "So.")]),
        ("The document is about storage.", []),
        ("Q: A question without an answer?", []),
        ("[1, 2]", []),
        ("3", []),
    ],
)
def test_pairs_are_read_and_never_guessed(output: str, pairs: list[tuple[str, str]]) -> None:
    assert pairs_of(output) == pairs
