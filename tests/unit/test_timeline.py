"""trace.json against the rules that Perfetto reads it by: tracks without overlaps, nesting, flows, bounded size."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner import timeline
from runner.layout import RunFolder
from tests.samples import make_sample


def result(number: int, worker: int = 0, parts: int = 1, at: int = 1000, **changes: Any) -> dict[str, Any]:
    made = {"worker": worker, "ended_unix_ms": at, "queued_ms": 5.0, "prefill_ms": 20.0, "decode_ms": 80.25}
    part = {"tokens_in": 100, "tokens_out": 20, "finish_reason": "stop", "made": made}
    read = {"thread": number % 2, "ended_unix_ms": at - 200, "extract_ms": 0.4, "prepare_ms": 0.6}
    return {
        "source": f"in/{number}.txt",
        "status": "ok",
        "reason": "",
        "parts": [part] * parts,
        "read": read,
        **changes,
    }


def trace_of(folder: Path, results: list[dict[str, Any]], samples: int = 3) -> dict[str, Any]:
    run = RunFolder(folder)
    run.results.write_text("".join(json.dumps(line) + "\n" for line in results) + '{"torn": ')
    lines = [make_sample(unix_ms=1000 * number, leased=number).to_line() for number in range(samples)]
    run.metrics.write_text("\n".join(lines) + "\n")
    about = timeline.write(run)
    trace: dict[str, Any] = json.loads(run.trace.read_text())
    assert trace["otherData"] == about
    return trace


def spans(trace: dict[str, Any]) -> dict[tuple[int, int], list[tuple[int, int, str]]]:
    found: dict[tuple[int, int], list[tuple[int, int, str]]] = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            assert isinstance(event["ts"], int)
            assert event["dur"] >= 0
            key = (event["pid"], event["tid"])
            found.setdefault(key, []).append((event["ts"], event["ts"] + event["dur"], event["name"]))
    return found


def check(trace: dict[str, Any]) -> None:
    """Complete events of a track nest or follow each other; every track has a name; flows begin, go on and end once."""
    named = {(e["pid"], e["tid"]) for e in trace["traceEvents"] if e["ph"] == "M" and e["name"] == "thread_name"}
    for track, found in spans(trace).items():
        assert track in named
        open_until: list[int] = []
        for start, end, _ in sorted(found, key=lambda span: (span[0], -span[1])):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1], (track, start, end)
            open_until.append(end)
    flows: dict[int, list[str]] = {}
    for event in trace["traceEvents"]:
        if event["ph"] in "stf":
            flows.setdefault(event["id"], []).append(event["ph"])
    for kinds in flows.values():
        assert kinds[0] == "s"
        assert kinds[-1] == "f"
        assert set(kinds[1:-1]) <= {"t"}


def test_a_documents_way_leads_from_its_reading_to_its_rows(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, [result(0), result(1, worker=1, parts=2), result(2, read=None)])
    check(trace)
    found = spans(trace)
    assert [name for *_, name in found[timeline.READ, 0]] == ["0.txt", "read", "cut and encode"]
    assert found[timeline.WORKERS, 0][:3] == [
        (899_750, 1_000_000, "0.txt"),
        (899_750, 919_750, "prompt"),
        (919_750, 1_000_000, "answer"),
    ]
    assert {name for track, names in found.items() if track[0] == timeline.WORKERS + 1 for *_, name in names} >= {
        "1.txt #1",
        "1.txt #2",
    }
    assert trace["otherData"]["sampling"] == "all documents"
    values = [
        event["args"]["value"] for event in trace["traceEvents"] if event["ph"] == "C" and event["name"] == "leased"
    ]
    assert values == [0, 1, 2]


def test_rows_that_overlap_are_dealt_into_as_few_tracks_as_run_together(tmp_path: Path) -> None:
    lines = [result(number, at=1000 + 60 * number) for number in range(50)]
    trace = trace_of(tmp_path, lines)
    check(trace)
    assert len([track for track in spans(trace) if track[0] == timeline.WORKERS]) == 2


def test_many_files_read_in_one_millisecond_do_not_overlap(tmp_path: Path) -> None:
    check(trace_of(tmp_path, [result(2 * number, at=1000) for number in range(20)]))


def test_work_of_another_run_and_rejected_inputs_draw_nothing(tmp_path: Path) -> None:
    reused = result(0, read=None)
    reused["parts"] = [{**reused["parts"][0], "made": None}]
    trace = trace_of(tmp_path, [reused, result(1, read=None, parts=0, status="failed")])
    assert spans(trace) == {}


def test_a_name_with_escapes_is_written_as_what_it_is(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, [result(0, source="in/\x1b[2J\u202e.txt")])
    assert spans(trace)[timeline.READ, 0][0][2] == "␛[2J⟨U+202E⟩.txt"


def test_a_hundred_thousand_documents_and_a_day_of_samples_stay_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "MOST_DOCUMENTS", 100)
    monkeypatch.setattr(timeline, "MOST_SAMPLES", 50)
    trace = trace_of(tmp_path, [result(number, at=1000 + number) for number in range(1050)], samples=500)
    check(trace)
    about = trace["otherData"]
    assert (about["documents"], about["documents_drawn"]) == (1050, 96)
    assert about["sampling"] == "every 11th document of results.jsonl"
    assert sum(event["ph"] == "C" and event["name"] == "leased" for event in trace["traceEvents"]) == 50
    monkeypatch.setattr(timeline, "MOST_SLICES", 60)
    cut = trace_of(tmp_path, [result(number, parts=30) for number in range(10)])["otherData"]
    assert cut["documents_drawn"] < 10
    assert cut["sampling"] == f"all documents, the first {cut['documents_drawn']} of these"
