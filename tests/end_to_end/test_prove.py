"""`runner tune prove` as a person types it: two sittings over the real command, and what a planted cost comes to."""

import json

import pytest

from tests.end_to_end.conftest import Shell, scripted

SLOW = json.dumps({"output": "echo", "steps": 2, "delay_ms_per_step": 150})
SLOWER = json.dumps({"output": "echo", "steps": 2, "delay_ms_per_step": 300})


def words(shell: Shell, *more: str) -> list[str]:
    texts = shell.folder / "texts"
    texts.mkdir(exist_ok=True)
    for number in range(3):
        (texts / f"{number}.txt").write_text(f"document {number}")
    return ["tune", "prove", "--json", *more, *scripted("input=texts", "cores.workers=1", script=SLOW)]


def evidence(shell: Shell) -> list[dict[str, object]]:
    (file,) = (shell.folder / "outputs" / "evidence").glob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_two_sittings_are_one_plan_and_leave_no_run(shell: Shell) -> None:
    step = "rows=batching.max_num_seqs=4|batching.max_num_seqs=8"
    said = []
    for sitting in (1, 2):
        done = shell.run(*words(shell, "--minutes", "0.04", "--step", step))
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
        assert [r["number"] for r in evidence(shell) if r["op"] == "sitting"] == list(range(1, sitting + 1))
    assert said[0]["plan"] == said[1]["plan"]
    pairs = [(r["step"], r["number"]) for r in evidence(shell) if r["op"] == "pair" and not r["again"]]
    assert len(pairs) == len(set(pairs)) >= 2
    assert {v["word"] for v in said[1]["verdicts"]} == {"undecided"}
    names = sorted(path.suffix for path in (shell.folder / "outputs" / "evidence").iterdir())
    assert names == [".html", ".jsonl", ".lock", ".md", ".svg"]
    assert not shell.runs()


@pytest.mark.torture
@pytest.mark.timeout(1800)  # some fifty whole runs
def test_a_planted_cost_is_judged_hurts_and_a_planted_nothing_never_helps(shell: Shell) -> None:
    slower = f"slower=|model.script='{SLOWER.replace(' ', '')}'"
    nothing = "nothing=|monitor.interval_ms=1000"
    done = shell.run(*words(shell, "--step", slower, "--step", nothing, "--minutes", "25"), seconds=1700)
    assert done.returncode == 0, done.stderr
    found = {each["step"]: each for each in json.loads(done.stdout)["verdicts"]}
    assert found["slower"]["word"] == "hurts", done.stderr[-3000:]
    assert 1.5 < found["slower"]["effect"]["ratio"] < 2.5
    assert found["nothing"]["word"] != "helps"


def test_only_proven_settings_reach_the_worker(shell: Shell) -> None:
    (shell.folder / "texts").mkdir()
    (shell.folder / "texts/a.txt").write_text("text")
    asked = scripted("input=texts", "+tuning.environment.MALLOC_ARENA_MAX=2", "tuning.keep=proven")
    done = shell.run(*asked)
    assert done.returncode == 0, done.stderr
    assert "left out (tuning.keep=proven): MALLOC_ARENA_MAX=2: no evidence that it helps here" in done.stderr
