"""Pairs are interleaved, the required figures are those of docs/claims.md, a history outlives a torn line, and a broken
promise is seen."""

import json
import zipfile
from pathlib import Path

import pytest

from runner import cli
from runner.errors import RunFailed, UsageError
from runner.trial import Trial
from runner.validate import builds, promises, record, session, targets

ROOT = Path(__file__).parents[3]


def test_arms_alternate_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []

    def arm(name: str, cost: float) -> session.Measure:
        def measure() -> dict[str, float]:
            order.append(name)
            return {"cpu": cost, "wall": cost if len(order) > 4 else 99.0}

        return measure

    found = session.pairs(arm("a", 1.0), arm("b", 1.1), 4)
    assert "".join(order) == "ab" + "ba" + "ab" + "ba" + "ab" + "ba"
    assert [round(each, 3) for each in found["wall"]] == [0.095] * 4


def test_the_claims_page_is_made_from_the_targets() -> None:
    assert (ROOT / "docs/claims.md").read_text(encoding="utf-8") == targets.page(), (
        "runner validate --targets --markdown"
    )


def test_every_target_has_a_standing_and_a_met_one_a_command_that_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = targets.read()
    assert len(found) == 8
    assert {target.standing for target in found} <= set(targets.STANDINGS)
    assert all(target.shown_by for target in found if target.standing == "met")
    assert all(target.today for target in found)
    assert cli.main(["validate", "--targets", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["targets"]) == 8


def test_a_history_outlives_a_torn_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "validate/history.jsonl"
    entry = {"at": "2026-11-23", "baseline": "x\x1b[2J", "cpu_s_per_unit": 0.1, "regression": False}
    record.append(path, entry)
    with path.open("a") as out:
        out.write('{"v": 1, "at')
    record.append(path, entry)
    assert len(record.read(path)) == 1  # the second is glued to the torn one
    record.append(path, entry)
    assert len(record.read(path)) == 2
    assert cli.main(["validate", "--history", "--outputs", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_baseline_is_a_wheel_a_folder_or_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("runner/__init__.py", "")
    assert (builds.find(str(tmp_path / "a.whl")).path / "runner/__init__.py").is_file()
    (tmp_path / "b.whl").write_text("no zip")
    (tmp_path / "bare/runner").mkdir(parents=True)
    (tmp_path / "bare/runner/__init__.py").touch()
    for name, says in (("b.whl", "is no wheel"), ("bare", "without its extension"), ("cache", "is no build")):
        with pytest.raises(UsageError, match=says):
            builds.find(str(tmp_path / name))
    with pytest.raises(UsageError, match="is no wheel, no folder and no commit"):
        builds.find("--upload-pack=x")


def test_a_lost_and_a_doubled_document_break_the_promise(tmp_path: Path) -> None:
    names = [f"{number:02}.txt" for number in range(promises.DOCUMENTS)]

    def once(sources: list[str], code: int = 0) -> str:
        lines = [json.dumps({"source": f"/x/{name}", "status": "ok"}) + "\n" for name in sources]
        (tmp_path / "results.jsonl").write_text("".join(lines))
        return promises._once(tmp_path, code)

    assert once(names) == ""
    assert once(names[1:]) == "00.txt: 0 times"
    assert once([*names, names[3]]) == "03.txt: 2 times"
    assert once(names, code=1) == "exit code 1"


def test_a_whole_run_costs_its_working_time_and_a_failed_one_is_no_figure(tmp_path: Path) -> None:
    seen = []

    def start(words: list[str], folder: Path, console: Path, build: Path) -> Trial:
        seen.append((words, build))
        console.write_text("error: no\n")
        return Trial(len(seen) - 1, 9.0, 3.0, {"working_seconds": 2.0})

    unit = session.WholeRun(tmp_path / "build", ["job=qa"], tmp_path / "scratch", start)
    assert unit() == {"cpu": 3.0, "wall": 2.0}
    assert seen[0][0][0] == "job=qa"
    assert seen[0][1] == tmp_path / "build"
    with pytest.raises(RunFailed, match="exit code 1: error: no"):
        unit()
