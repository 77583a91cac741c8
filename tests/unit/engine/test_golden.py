"""The golden test: what our adapter writes in batches over a shared prefix is what mlx-lm writes for each document
alone, token for token, in fp32 on a CPU. Real model, real text; a slice of it in `make test`, all of it in torture."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.utils import load
from tokenizers import Tokenizer

from runner.engine.mlx_lm_adapter import MlxEngine
from runner.engine.protocol import Row
from runner.models import ModelFolder, render_prompt
from tests.unit.engine.conftest import settings
from tests.unit.engine.test_mlx_engine import finish

pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

EXAMPLES = Path(__file__).parents[3] / "examples" / "documents"
SYSTEM = "You read pieces of technical documentation. Say in one plain sentence what a piece is about; invent nothing."

LANES = [
    pytest.param((6, 12, 12, 40), id="slice"),
    pytest.param((64, 48, 30, 300), id="all", marks=(pytest.mark.torture, pytest.mark.timeout(3600))),
]
"""Documents, generated tokens, least and most tokens of a document."""


def pieces(tokenizer: Tokenizer, count: int, least: int, most: int) -> list[list[int]]:
    """Runs of lines of the example corpus, in its order, of mixed length."""
    found: list[list[int]] = []
    for path in sorted(EXAMPLES.iterdir()):
        held = ""
        wanted = least
        for line in path.read_text(encoding="utf-8").splitlines():
            held = f"{held}\n{line}".strip()
            ids = tokenizer.encode(held, add_special_tokens=False).ids
            if len(ids) < wanted:
                continue
            held = ""
            if len(ids) <= most:
                found.append(ids)
                wanted = least + (most - least) * (len(found) % 5) // 6  # the next one is longer, or short again
    assert len(found) >= count, f"{len(found)} pieces"
    return found[:: len(found) // count][:count]


def requests(folder: ModelFolder, count: int, max_tokens: int, least: int, most: int) -> list[Row]:
    prompt = render_prompt(folder, SYSTEM)
    documents = pieces(Tokenizer.from_file(str(folder.tokenizer_path)), count, least, most)
    return [
        Row(key, [*prompt.prefix_ids, *ids, *prompt.suffix_ids], max_tokens) for key, ids in enumerate(documents)
    ]  # fmt: skip


@functools.cache
def alone(path: Path, rows: tuple[tuple[tuple[int, ...], int], ...]) -> list[list[int]]:
    """Naive: each document by itself through mlx-lm's own loop, greedy, nothing shared."""
    loaded: Any = load(str(path))
    model, eos = loaded[0], set(loaded[1].eos_token_ids)
    answers = []
    for ids, most in rows:
        answer: list[int] = []
        for token, _ in generate_step(mx.array(list(ids)), model, max_tokens=most):
            if int(token) in eos:
                break
            answer.append(int(token))
        answers.append(answer)
    return answers


def naive(folder: ModelFolder, rows: Sequence[Row]) -> list[list[int]]:
    return alone(folder.path, tuple((tuple(row.token_ids), row.max_tokens) for row in rows))


def ours(engine: MlxEngine, rows: Sequence[Row]) -> list[list[int]]:
    done = finish(engine, rows)
    return [list(done[row.key].token_ids) for row in rows]


@pytest.mark.parametrize("lane", LANES)
def test_batches_over_a_shared_prefix_write_what_each_document_gets_alone(
    embedded: ModelFolder, lane: tuple[int, int, int, int]
) -> None:
    rows = requests(embedded, *lane)
    engine = MlxEngine(embedded.path, settings(8, prefill_step_size=512))
    written = ours(engine, rows)
    assert engine._prefix == list(render_prompt(embedded, SYSTEM).prefix_ids), "nothing was shared"
    expected = naive(embedded, rows)
    different = [key for key, (one, other) in enumerate(zip(written, expected, strict=True)) if one != other]
    assert not different, f"{len(different)} of {len(rows)} documents: {different}"
    assert len({tuple(answer) for answer in written}) > 1


def test_the_cache_of_another_prefix_would_be_seen(embedded: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: rows get the KV of a prompt that differs in one token."""
    rows = requests(embedded, *LANES[0].values[0])  # type: ignore[misc]
    learn = MlxEngine._learn_prefix

    def of_another(engine: MlxEngine, prompts: Sequence[list[int]], most: int) -> None:
        learn(engine, [[*prompt[:9], prompt[10], *prompt[10:]] for prompt in prompts], most)
        engine._prefix = list(prompts[0][: len(engine._prefix)])

    monkeypatch.setattr(MlxEngine, "_learn_prefix", of_another)
    assert ours(MlxEngine(embedded.path, settings(8, prefill_step_size=512)), rows) != naive(embedded, rows)
