"""What holding costs is measured over every token of every row, on answers that the grammar allows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load

from runner.answer.grammar import grammar_of
from runner.bench.structured import SCHEMA
from runner.engine.constrain import Grammar, MaskingSampler
from runner.engine.masks import measure

GOOD = json.dumps(
    {"title": "VACUUM", "kind": "command", "audience": "user", "has_example": True, "names": ["a", "b"], "summary": "x"}
)


def test_masks_are_made_for_every_token_of_every_row(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    allowed: Callable[..., Any] = MaskingSampler._allowed

    def counting(self: MaskingSampler, rows: list[Any], thinking: Any, shape: tuple[int, ...]) -> Any:
        made.append(len(rows))
        return allowed(self, rows, thinking, shape)

    monkeypatch.setattr(MaskingSampler, "_allowed", counting)
    answers = [GOOD, GOOD.replace("VACUUM", "A"), GOOD]
    found = measure(tiny_path, grammar_of(SCHEMA), answers, rows=2, rounds=2, threads=1)
    assert found.tokens == sum(len(answer) + 1 for answer in answers)  # a byte a token
    assert sum(made) == 3 * found.tokens  # the first pass warms
    assert max(made) == 2
    assert len(found.passes) == 2
    assert len('{"title": "') * 3 < found.forced < found.walked


def test_an_answer_that_the_grammar_does_not_allow_is_no_measure(tiny_path: Path) -> None:
    for bad in (GOOD.replace("user", "nobody"), GOOD[:-1]):
        with pytest.raises(ValueError, match="the grammar does not allow"):
            measure(tiny_path, grammar_of(SCHEMA), [bad], rows=1, rounds=1, threads=1)


def test_forced_tokens_are_those_without_a_choice(tiny_path: Path) -> None:
    schema: dict[str, Any] = {"properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]}
    schema |= {"type": "object", "additionalProperties": False}
    grammar = Grammar(load(tiny_path)._tokenizer, 259, [2], grammar_of(schema), "")
    forced, count = grammar.forced('{"kind": "a"}')
    assert count == len('{"kind": "a"}')  # a byte a token
    assert count - forced == 1  # which of the two it is
