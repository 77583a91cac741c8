"""What the view says and how it is laid out: hostile text, every width, the estimate, the tail of growing files."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runner.display import visible
from runner.progress.board import Board, Heading, stage_text
from runner.progress.draw import lines_of, sparkline, wrap
from runner.progress.eta import EtaKeeper
from runner.progress.follow import Alarms, Failures, Tail, samples
from tests.samples import make_sample

HEADING = Heading("summarize", "qwen3-30b-a3b", "m3max", "abc123")
HOSTILE = "bad\x1b[2J\x07 \u202egnp.exe\u2066 \x9b31m\u2028 \u200bname\r\nrm\x00.pdf"


def a_board() -> Board:
    board = Board(HEADING, "p pause or go on, d finish what is in workers and stop, q stop now")
    for second in range(700):
        sample = make_sample(
            elapsed_s=float(second), inputs=100_000, ok=40 * second, failed=12, prompt_tokens_known=80_000_000,
            prompt_tokens_done=100 * 40 * second, discovery_done=1, prompt_tokens_per_s=4000.0 + second % 7,
            generated_tokens_per_s=400.0, documents_per_h=144_000.0, pending_requests=71_000, leased=16, active_rows=8,
            worker_states=("serving", "serving", "starting"), prefill_s=second * 0.3, decode_s=second * 1.2,
            rust_bytes=12 << 30, engine_bytes=31 << 30, kv_bytes=5 << 30, available_bytes=70 << 30, psi_memory=23.0,
            performance_busy=0.97, efficiency_busy=0.31, temperature_c=88.0, on_battery=1, disk_free_bytes=400 << 30,
            requeued=3, attempts_charged=1, repairs=17, wasted_tokens=1234, prefix_queries=9, prefix_hits=8,
            prefix_tokens_saved=1_234_567,
        )  # fmt: skip
        board.feed(sample)
    board.alerts = [("critical", "disk", "disk_free_bytes is 1 bytes (limit: below 2)"), ("warning", HOSTILE, HOSTILE)]
    board.failure = (HOSTILE * 20, HOSTILE + "x" * 1_000_000)
    return board


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("width", [24, 40, 60, 79, 80, 100, 109, 110, 139, 200])
def test_no_line_is_wider_than_the_terminal_and_every_control_is_visible(width: int, plain: bool) -> None:
    board = a_board()
    lines = [line.plain for line in lines_of(board.title(), board.rows(), width, 60, plain)]
    assert max(map(cell_len, lines)) <= width
    assert all(visible(line, 0) == line for line in lines)
    text = " ".join(" ".join(lines).split())
    for words in ("critical: disk", "17 repaired", "1,234,567"):
        assert words in text or width < 60


@pytest.mark.parametrize("height", [1, 3, 6, 10])
def test_a_low_terminal_keeps_title_documents_and_keys_and_never_more_lines_than_it_has(height: int) -> None:
    board = a_board()
    lines = [line.plain for line in lines_of(board.title(), board.rows(), 80, height, False)]
    assert len(lines) <= height
    assert lines[0].startswith("summarize with")
    if height >= 6:
        assert any("documents" in line for line in lines)
        assert "q stop now" in lines[-1]


@given(st.text(max_size=200), st.integers(2, 50))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    text = visible(text)
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_sparkline_is_as_wide_as_it_may_be_and_its_peak_is_full() -> None:
    assert sparkline([0, 1, 2, 4], 10, False) == "▁▃▅█"
    assert sparkline([1.0] * 1000 + [2.0], 20, False)[-1] == "█"
    assert len(sparkline(list(range(1000)), 20, True)) == 20
    assert sparkline([0, 0], 5, True) == "__"


def test_the_course_of_a_long_run_is_kept_whole_in_bounded_room() -> None:
    board = Board(HEADING, "")
    for second in range(20_000):
        board.feed(make_sample(elapsed_s=float(second), prompt_tokens_per_s=10_000.0 if second == 5 else 1.0))
    spark = next(row.spark for row in board.rows() if row.spark)
    assert len(spark) <= 512
    assert spark[0] == 10_000.0


def test_the_stage_says_what_holds_the_run_up() -> None:
    then = make_sample()
    serving = {"worker_states": ("serving",), "leased": 2, "pending_requests": 9, "discovery_done": 1}
    assert stage_text(make_sample(worker_states=("starting",)), then).startswith("workers load the model")
    assert stage_text(make_sample(worker_states=("serving",)), then).startswith("reading documents")
    assert stage_text(make_sample(**serving, prefill_s=3.0, decode_s=1.0), then).startswith(
        "model: reading prompts (75%"
    )
    assert stage_text(make_sample(**serving, decode_s=1.0), then).startswith("model: writing answers (100%")
    assert stage_text(make_sample(**serving, paused=1), then).startswith("paused")
    assert stage_text(make_sample(**serving, draining=1), then).startswith("draining")


def run_at(rate_of: list[float], known: int = 100_000) -> list[str]:
    keeper, done, said = EtaKeeper(), 0.0, []
    for second, rate in enumerate(rate_of):
        done += rate
        eta = keeper.add(
            make_sample(
                elapsed_s=float(second), prompt_tokens_done=int(done), prompt_tokens_known=known, discovery_done=1
            )
        )
        said.append("" if eta is None else eta.text())
    return said


def test_the_estimate_counts_from_the_first_result_and_has_an_interval_once_the_rate_was_seen_for_a_minute() -> None:
    said = run_at([0.0] * 300 + [100.0] * 400)  # five minutes of loading are no time of the documents
    assert said[299] == ""
    assert said[400] == "15 min"
    steady, uneven = run_at([100.0] * 200)[-1], run_at([50.0 if n // 20 % 2 else 150.0 for n in range(200)])[-1]
    assert steady == "13 min"
    assert uneven.startswith("13 min (") or " to " in uneven


def test_a_pause_is_no_time_of_the_documents() -> None:
    keeper = EtaKeeper()
    for second in range(1000):
        paused = 100 <= second < 900
        done = 100 * min(second, 100) + 100 * max(0, second - 900)
        sample = make_sample(
            elapsed_s=float(second),
            prompt_tokens_done=done,
            prompt_tokens_known=40_000,
            discovery_done=1,
            paused=int(paused),
        )
        eta = keeper.add(sample)
    assert eta is not None
    assert eta.left_s == pytest.approx(200, rel=0.05)


def test_a_tail_gives_whole_new_lines_and_begins_near_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = Tail(path, tail_bytes=1000)
    assert tail.lines() == []
    path.write_text("a\nb\nto")
    assert tail.lines() == ["a", "b"]
    with path.open("a") as file:
        file.write("rn\n")
    assert tail.lines() == ["torn"]
    path.write_text("new\n")  # made anew by a rebuild
    assert tail.lines() == ["new"]
    path.write_text("".join(f"{number:09d}\n" for number in range(10_000)))
    assert Tail(path, tail_bytes=1000).lines() == [f"{number:09d}" for number in range(9901, 10_000)]


def test_lines_of_another_kind_are_passed_over(tmp_path: Path) -> None:
    good = make_sample(inputs=3)
    assert samples(["torn", "[]", '{"version": 9}', good.to_line()]) == [good]
    alarms = Alarms(tmp_path / "alerts.jsonl")
    line = {"alert": "disk", "state": "firing", "severity": "critical", "text": "t"}
    (tmp_path / "alerts.jsonl").write_text("torn\n" + json.dumps(line) + "\n")
    assert alarms.firing() == [("critical", "disk", "t")]
    with (tmp_path / "alerts.jsonl").open("a") as file:
        file.write(json.dumps({**line, "state": "resolved"}) + "\n")
    assert alarms.firing() == []


def test_the_last_failure_is_read_when_one_more_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    failures = Failures(path)
    assert failures.last(make_sample()) is None
    path.write_text(json.dumps({"source": "a.pdf", "reason": "empty"}) + "\n")
    assert failures.last(make_sample()) is None
    assert failures.last(make_sample(failed=1)) == ("a.pdf", "empty")
