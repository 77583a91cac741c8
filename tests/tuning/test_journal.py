"""The tuning journal: what was written is read back, a torn line harms nobody, the first old value wins.

Method: every prefix of a real file is tried as what a crash left.
"""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.tuning.journal import TuningJournal

INTENT: dict[str, Any] = {"boot_id": "b", "run": "r", "touched": {}}


def test_an_intent_is_open_until_it_is_reverted(tmp_path: Path) -> None:
    journal = TuningJournal(tmp_path / "state" / "tuning.jsonl")
    journal.append("intent", "clock", old="slow", new="fast", **INTENT)
    journal.append("applied", "clock", value="fast,boost=1")
    (intent,) = journal.open_intents()
    assert (intent.old, intent.ours) == ("slow", ("fast", "fast,boost=1"))
    journal.append("reverted", "clock", how="restored")
    assert journal.open_intents() == []


def test_the_first_old_value_wins_over_a_tuned_one_learnt_later(tmp_path: Path) -> None:
    journal = TuningJournal(tmp_path / "tuning.jsonl")
    journal.append("intent", "clock", old="slow", new="fast", **INTENT)
    journal.append("intent", "clock", old="fast", new="faster", **INTENT)
    (intent,) = journal.open_intents()
    assert (intent.old, intent.ours) == ("slow", ("fast", "faster"))


def test_every_cut_of_the_last_line_leaves_the_lines_before_and_the_next_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "tuning.jsonl"
    journal = TuningJournal(path)
    journal.append("intent", "clock", old="slow", new="fast", **INTENT)
    first = path.stat().st_size
    journal.append("applied", "clock", value="fast")
    whole = path.read_bytes()
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        ops = ["intent", "applied"] if cut == len(whole) - 1 else ["intent"]  # only the newline is missing: still whole
        assert [entry["op"] for entry in journal.entries()] == ops, cut
        journal.append("reverted", "clock", how="restored")
        assert [entry["op"] for entry in journal.entries()] == [*ops, "reverted"], cut


def test_a_changed_byte_takes_its_line_away_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "tuning.jsonl"
    journal = TuningJournal(path)
    for number in range(3):
        journal.append("intent", f"step{number}", old="slow", new="fast", **INTENT)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1].replace(b"slow", b"slaw"), *lines[2:]]))
    assert [intent.step for intent in journal.open_intents()] == ["step0", "step2"]


def test_a_closed_file_is_put_aside_and_an_open_one_stays(tmp_path: Path) -> None:
    journal = TuningJournal(tmp_path / "tuning.jsonl")
    journal.append("intent", "clock", old="slow", new="fast", **INTENT)
    journal.close_file()
    assert journal.path.exists()
    journal.append("reverted", "clock", how="restored")
    journal.close_file()
    assert [path.name for path in tmp_path.iterdir()] == ["tuning.last.jsonl"]


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=6))
def test_whatever_is_written_is_read_back(tmp_path_factory: Any, pairs: list[tuple[str, str]]) -> None:
    journal = TuningJournal(tmp_path_factory.mktemp("j") / "tuning.jsonl")
    for step, value in pairs:
        journal.append("applied", step, value=value)
    assert [(entry["step"], entry["value"]) for entry in journal.entries()] == pairs
