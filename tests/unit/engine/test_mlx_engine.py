"""The adapter on the tiny model: batches equal single rows, faults lose nothing silently, memory is arithmetic."""

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from runner.engine.mlx_lm_adapter import MlxEngine
from runner.engine.prefix import common_prefix
from runner.engine.protocol import EngineError, FinishedRow, Row
from runner.engine.turns import render_turn
from tests.unit.engine.conftest import settings


def finish(engine: MlxEngine, rows: Iterable[Row]) -> dict[int, FinishedRow]:
    engine.insert(list(rows))
    finished: dict[int, FinishedRow] = {}
    while engine.active:
        finished.update((row.key, row) for row in engine.step())
    return finished


def rows(seed: int, count: int, prefix: list[int], most: int = 60) -> list[Row]:
    rng = random.Random(seed)
    made = []
    for key in range(count):
        own = [rng.randrange(3, 259) for _ in range(rng.randrange(1, most))]
        made.append(Row(key, [*prefix, *own], rng.randrange(1, 20)))
    return made


@pytest.mark.parametrize("prefix_length", [0, 40])
def test_a_greedy_batch_equals_single_rows_token_for_token(tiny_path: Path, prefix_length: int) -> None:
    requests = rows(7, 9, list(range(3, 3 + prefix_length)))
    together = finish(MlxEngine(tiny_path, settings(4)), requests)
    alone = MlxEngine(tiny_path, settings(1))
    for request in requests:
        assert finish(alone, [request])[request.key].token_ids == together[request.key].token_ids


def test_rows_that_join_later_get_the_same_answer(tiny_path: Path) -> None:
    requests = rows(3, 6, list(range(3, 40)))
    expected = finish(MlxEngine(tiny_path, settings(1)), requests)
    engine = MlxEngine(tiny_path, settings(4))
    finished: dict[int, FinishedRow] = {}
    for request in requests:
        engine.insert([request])
        finished.update((row.key, row) for row in engine.step())
    while engine.active:
        finished.update((row.key, row) for row in engine.step())
    assert {key: row.token_ids for key, row in finished.items()} == {
        key: row.token_ids for key, row in expected.items()
    }


def test_a_shared_prefix_is_learned_and_shrinks_when_a_row_differs(tiny: MlxEngine) -> None:
    shared = list(range(3, 60))
    finish(tiny, [Row(1, [*shared, 100], 2), Row(2, [*shared, 101], 2)])
    assert tiny._prefix == shared
    finish(tiny, [Row(3, [*shared[:30], 200, 201], 2)])
    assert tiny._prefix == shared[:30]
    finish(tiny, [Row(4, [9, 8, 7], 2)])  # nothing in common: runs without, the prefix stays
    assert tiny._prefix == shared[:30]


def test_a_shared_prefix_is_prefilled_once_however_many_rows_come_later(tiny: MlxEngine) -> None:
    shared = list(range(3, 60))
    finish(tiny, [Row(key, [*shared, 100 + key], 2) for key in range(2)])
    kept = tiny._prefix_cache
    for key in range(5):
        finish(tiny, [Row(10 + key, [*shared, 120 + key], 2)])
    assert tiny._prefix == shared
    assert tiny._prefix_cache is kept


def test_what_a_shared_prefix_saves_is_counted_without_its_own_prefill(tiny: MlxEngine) -> None:
    shared = list(range(3, 60))
    finish(tiny, [Row(key, [*shared, 100 + key], 2) for key in range(3)])
    assert (tiny.pace.rows, tiny.pace.shared_rows, tiny.pace.shared_tokens) == (3, 3, 2 * len(shared))
    finish(tiny, [Row(4, [9, 8, 7], 2)])
    assert (tiny.pace.rows, tiny.pace.shared_rows, tiny.pace.shared_tokens) == (4, 3, 2 * len(shared))
    alone = tiny.pace.prefill_tokens
    finish(tiny, [Row(5, [*shared, 1, 2], 2)])
    assert tiny.pace.prefill_tokens - alone <= 2  # its own tokens alone
    assert tiny.pace.shared_tokens == 3 * len(shared)


def test_counts_and_limits_are_kept(tiny: MlxEngine) -> None:
    done = finish(tiny, [Row(1, [5] * 10, 3), Row(2, [6] * 4, 1)])
    assert tiny.prompt_tokens == 14
    assert all(len(row.token_ids) <= limit for row, limit in ((done[1], 3), (done[2], 1)))
    assert {row.finish_reason for row in done.values()} <= {"stop", "length"}


def test_a_removed_row_never_finishes_and_others_do(tiny: MlxEngine) -> None:
    tiny.insert([Row(1, [5] * 10, 9), Row(2, [6] * 4, 9)])
    tiny.step()
    tiny.remove([1, 77])
    assert tiny.active == 1
    seen = set()
    while tiny.active:
        seen |= {row.key for row in tiny.step()}
    assert seen == {2}


def test_a_broken_step_is_one_error_and_the_engine_works_again_after_rebuild(
    tiny: MlxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.insert([Row(1, [5] * 10, 3), Row(2, [6] * 4, 3)])

    def broken() -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(tiny._generator, "next", broken)
    with pytest.raises(EngineError, match="RuntimeError: no"):
        tiny.step()
    tiny.rebuild()
    assert tiny.active == 0
    assert set(finish(tiny, [Row(1, [5] * 10, 3)])) == {1}


def test_admission_counts_the_longest_row_for_every_row_and_what_is_shared(tiny_path: Path) -> None:
    counted = MlxEngine(tiny_path, settings(4))._footprint
    engine = MlxEngine(tiny_path, settings(4, memory_limit_bytes=counted.needs(2, 200)), lambda: counted.standing_bytes)
    small, large = Row(1, [5] * 10, 10), Row(2, [5] * 190, 10)
    assert engine.admits(large, []) == "now"
    assert engine.admits(small, [large]) == "now"
    assert engine.admits(small, [large, small]) == "later"
    assert engine.admits(Row(9, [5] * 100_000, 10), []) == "never"
    assert f"the longest row that fits has {counted.longest_row(counted.needs(2, 200))} tokens" in engine.shortfall()
    finish(engine, [Row(3, [7] * 60, 2), Row(4, [7] * 61, 2)])
    assert engine._prefix
    assert engine.admits(small, [large]) == "later", "the shared prefix takes its place"
    assert engine.admits(Row(5, [5] * (counted.longest_row(counted.needs(2, 200)) - 10), 10), []) == "now"
    assert not engine._prefix, "given up for a row that needs the room"


def test_a_worker_gives_back_what_it_can_have_again_and_goes_on(tiny: MlxEngine) -> None:
    shared = list(range(3, 60))
    finish(tiny, [Row(1, [*shared, 100], 2), Row(2, [*shared, 101], 2)])
    tiny.insert([Row(3, [*shared, 102], 3)])
    tiny.relieve()
    assert tiny._prefix == shared, "a row still stands on it"
    while tiny.active:
        tiny.step()
    tiny.relieve()
    assert not tiny._prefix


def test_requests_that_can_never_run_are_refused_before_insert(tiny: MlxEngine) -> None:
    assert tiny.refuse(Row(1, [], 3)).startswith("empty")
    assert tiny.refuse(Row(1, [4], 0)).startswith("bad_request")
    assert tiny.refuse(Row(1, [4] * 1024, 1)).startswith("too_long")
    assert tiny.refuse(Row(1, [4] * 1023, 1)) == ""


def test_a_follow_up_keeps_prompt_and_answer_and_ends_ready_for_the_next_answer(tiny: MlxEngine) -> None:
    row = Row(1, [5, 6, 7], 3)
    ids = tiny.follow_up(row, [8, 9], "try again", "")
    assert ids[:5] == [5, 6, 7, 8, 9]
    text = tiny._tokenizer.decode(ids[5:])
    assert "try again" in text
    assert text.endswith("<|im_start|>assistant\n")
    begun = tiny.follow_up(row, [8, 9], "try again", '[{"q": "')
    assert tiny._tokenizer.decode(begun[len(ids) :]) == '[{"q": "'


def test_a_begun_answer_stands_behind_the_assistants_header(tiny_path: Path) -> None:
    before, plain = render_turn(tiny_path, "Be brief.", False)
    again, begun = render_turn(tiny_path, "Be brief.", False, '[{"question": "')
    tokenizer = Tokenizer.from_file(str(tiny_path / "tokenizer.json"))
    assert again == before
    assert begun[: len(plain)] == plain
    assert tokenizer.decode(begun[len(plain) :]) == '[{"question": "'


def test_a_sampled_answer_repeats_with_its_seed(tiny_path: Path) -> None:
    request = Row(1, [5, 6, 7, 8], 12)
    answers = [
        finish(MlxEngine(tiny_path, settings(1, temperature=1.0, seed=3)), [request])[1].token_ids for _ in range(2)
    ]
    assert answers[0] == answers[1]


def test_common_prefix_leaves_each_prompt_a_token_of_its_own() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 3]]) == [1, 2]
    assert common_prefix([[1, 2, 3], [1, 5]]) == [1]
    assert common_prefix([[4], [4, 4]]) == []
