"""A search on a machine in memory: what is chosen, kept, resumed, refused, and in which order leaders run."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.errors import BusyError, Problem, RunFailed, UsageError
from runner.search import front, page, space
from runner.search.front import Figures
from runner.search.space import Dimension, Point
from runner.search.study import Plan, Study
from runner.store.evidence import EvidenceFile
from runner.store.locks import FileLock
from runner.trial import Trial

ROWS = Dimension("rows", low=1, high=32, log=True)
LAYOUT = Dimension("layout", ("many", "one"), bundles={"many": ("w=2", "t=1"), "one": ("w=1", "t=2")})
LIVE = {"chip": "simulated", "physical_cores": 2, "memory_gib": 8.0, "os": "linux", "kernel": "1", "mlx": "1"}
LIVE |= {"mlx-lm": "1", "weights": "abc"}


class Machine:
    """`start` of a Study: more rows are faster up to eight and take memory; one worker is slow; 13 rows do not run."""

    def __init__(self, dies_at: int = 0, slower_each_run: float = 0.0) -> None:
        self.runs: list[dict[str, str]] = []
        self.dies_at, self.slower = dies_at, slower_each_run

    def __call__(self, words: Sequence[str], folder: Path, console: Path) -> Trial:
        given = dict(word.split("=", 1) for word in words)
        self.runs.append(given)
        if len(self.runs) == self.dies_at:
            raise KeyboardInterrupt  # what kill -9 leaves: asked, and no end
        rows = int(given.get("rows", 4))
        if rows == 13:
            console.write_text("loading\nerror: there is no room for 13 rows\n  hint: fewer\n")
            return Trial(2, 0.1, 0.1, None)
        speed = min(rows, 8) * (1.0 if given.get("w", "2") == "2" else 0.6) * (1 - self.slower) ** len(self.runs)
        summary = {"ok": 9, "failed": 1, "quarantined": 0, "working_seconds": 90 / speed}
        peaks = {"peak_rss_bytes": {"runner": 10, "worker 0": 100 * rows}}
        return Trial(0, 1.0, 1.0, {**summary, **peaks})


class Listed:
    """A sampler that asks for what it is given, in order, and remembers what it was told."""

    def __init__(self, *points: Point) -> None:
        self.points, self.told = list(points), []

    def ask(self, number: int) -> Point | None:
        return self.points[number - 1] if number <= len(self.points) else None

    def tell(self, point: Point, figures: Figures | None, over: float) -> None:
        self.told.append((point, figures, over))


def check(words: Sequence[str]) -> None:
    if "rows=31" in words:
        raise UsageError(problems=[Problem("rows is 31, it must be even", "rows=30")])


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {"trials": 4, "leaders": 2, "rounds": 3, "memory_bytes": None, "seed": 1}
    return Plan(live=LIVE, words=("job=qa",), space=(ROWS, LAYOUT), **{**values, **changes})  # type: ignore[arg-type]


def study(at: Plan, folder: Path, machine: Machine) -> Study:
    clock = iter(range(10_000))
    file = EvidenceFile(folder / f"{at.id}.jsonl")
    return Study(at, file, machine, check, now=lambda: next(clock), pause=lambda: None)


POINTS: tuple[Point, ...] = (
    {"rows": 8, "layout": "many"}, {"rows": 16, "layout": "many"}, {"rows": 13, "layout": "one"}, {"rows": 31},
)  # fmt: skip


def test_a_failed_trial_is_kept_with_its_words_and_the_search_goes_on(tmp_path: Path) -> None:
    sitting, sampler = study(plan(), tmp_path, Machine()), Listed(*POINTS)
    assert sitting.sit(sampler, until=1e9)
    said = {number: each.said for number, each in sitting.candidates.items()}
    assert said == {
        0: "",
        1: "",
        2: "",
        3: "exit code 2: there is no room for 13 rows",
        4: "rows is 31, it must be even",
    }
    assert [figures is None for _, figures, _ in sampler.told] == [False, False, True, True]


def test_a_refused_point_costs_no_run(tmp_path: Path) -> None:
    machine = Machine()
    study(plan(rounds=1), tmp_path, machine).sit(Listed({"rows": 31}), until=1e9)
    assert machine.runs[0].get("rows") is None
    assert len(machine.runs) == 2, "the run as it is, explored and in one round"
    again = Machine()
    sitting = study(plan(rounds=1, trials=1), tmp_path / "again", again)
    sitting.sit(Listed({"rows": 31}, {"rows": 8}, {"rows": 9}), until=1e9)
    assert sorted(sitting.candidates) == [0, 1, 2], "it counts as no trial either"


def test_leaders_run_in_turn_with_what_they_are_compared_with(tmp_path: Path) -> None:
    machine = Machine()
    study(plan(), tmp_path, machine).sit(Listed(*POINTS[:2]), until=1e9)
    rounds = [[run.get("rows", "as it is") for run in machine.runs[at : at + 3]] for at in (3, 6, 9)]
    assert all(sorted(turn) == ["16", "8", "as it is"] for turn in rounds)
    assert len({tuple(turn) for turn in rounds}) > 1, "one order for all rounds would favour somebody"


def test_heat_does_not_decide_who_wins(tmp_path: Path) -> None:
    """Every run is 8 % slower than the one before. The exploring runs alone would prefer whoever came first."""
    first: Point = {"rows": 7, "layout": "many"}
    sitting = study(plan(leaders=3, rounds=9), tmp_path, Machine(slower_each_run=0.08))
    sitting.sit(Listed(first, {"rows": 4, "layout": "one"}, {"rows": 8, "layout": "many"}), until=1e9)
    explored = {n: each.explored.docs_per_hour for n, each in sitting.candidates.items() if each.explored}
    assert max(explored, key=explored.__getitem__) == 1
    found = sitting.found()
    assert max(found, key=lambda number: found[number].docs_per_hour) == 3


def test_a_second_sitting_repeats_no_finished_trial(tmp_path: Path) -> None:
    at = plan()
    killed = Machine(dies_at=3)
    with pytest.raises(KeyboardInterrupt):
        study(at, tmp_path, killed).sit(Listed(*POINTS), until=1e9)
    again, sampler = Machine(), Listed(*POINTS)
    sitting = study(at, tmp_path, again)
    assert sitting.sit(sampler, until=1e9)
    assert again.runs[0]["rows"] == "16", "the one under way is started again, with its own point"
    assert [point for point, _, _ in sampler.told] == list(POINTS), "the sampler hears what was known before"
    once = Machine()
    whole = study(at, tmp_path / "whole", once)
    whole.sit(Listed(*POINTS), until=1e9)
    assert whole.found() == sitting.found()
    assert len(killed.runs) - 1 + len(again.runs) == len(once.runs)
    last = Machine()
    assert study(at, tmp_path, last).sit(Listed(*POINTS), until=1e9)
    assert last.runs == []


def test_a_trial_that_twice_took_the_search_with_it_is_given_up(tmp_path: Path) -> None:
    at = plan()
    for machine in (Machine(dies_at=2), Machine(dies_at=1)):
        with pytest.raises(KeyboardInterrupt):
            study(at, tmp_path, machine).sit(Listed(*POINTS), until=1e9)
    sitting = study(at, tmp_path, Machine())
    assert sitting.sit(Listed(*POINTS), until=1e9)
    assert sitting.candidates[1].said == "was started 2 times, and each time the search died with it"


def test_a_sitting_ends_with_its_time_and_the_next_one_goes_on(tmp_path: Path) -> None:
    at, machine = plan(), Machine()
    assert not study(at, tmp_path, machine).sit(Listed(*POINTS), until=2)
    assert len(machine.runs) == 2
    assert study(at, tmp_path, machine).sit(Listed(*POINTS), until=1e9)


def test_two_searches_of_one_study_at_once_are_refused(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / f"{plan().id}.lock")
    assert lock.acquire("another one")
    with pytest.raises(BusyError, match="is under way in process"):
        study(plan(), tmp_path, Machine()).sit(Listed(*POINTS), until=1e9)
    lock.release()


def test_a_run_that_fails_as_it_is_ends_the_search(tmp_path: Path) -> None:
    at = Plan(live=LIVE, words=("rows=13",), space=(LAYOUT,), trials=2, leaders=2, rounds=2, memory_bytes=None, seed=1)
    with pytest.raises(RunFailed, match="there is no room for 13 rows"):
        study(at, tmp_path, Machine()).sit(Listed({"layout": "one"}), until=1e9)


def test_a_memory_limit_keeps_the_fastest_out_when_it_is_too_large(tmp_path: Path) -> None:
    at = plan(memory_bytes=1000, leaders=4)
    sitting, sampler = study(at, tmp_path, Machine()), Listed(POINTS[0], POINTS[1])
    sitting.sit(sampler, until=1e9)
    assert [over > 0 for _, _, over in sampler.told] == [False, True]
    assert front.pick(sitting.found(), at.memory_bytes) == 1
    assert 2 not in front.front(sitting.found(), at.memory_bytes)
    text = page.markdown(at, sitting.candidates, sitting.found())
    assert "| 1 | `rows=8 w=2 t=1` |" in text
    assert "compared" in text


# ---- comparing ----


def test_the_front_holds_who_is_beaten_by_nobody() -> None:
    found = {1: Figures(100, 50, 1.0), 2: Figures(90, 40, 1.0), 3: Figures(80, 45, 1.0), 4: Figures(120, 60, 0.8)}
    assert front.front(found, None) == [4, 1, 2]
    assert front.front(found, 45) == [2]
    assert front.front(found, 10) == []
    assert front.pick(found, None) == 1, "faster with worse answers is not better"
    assert front.leaders(found, None, 4) == [4, 1, 2, 3]


def test_equal_figures_do_not_beat_each_other() -> None:
    found = {1: Figures(100, 50, 1.0), 2: Figures(100, 50, 1.0)}
    assert front.front(found, None) == [1, 2]


# ---- the space ----


@pytest.mark.parametrize(
    ("text", "words", "size"), [("a=1,x,3", "1,x,3", 3), ("a=2..9", "2..9", 8), ("a=2..64*", "2..64*", 63)]
)
def test_a_dimension_is_read_as_it_is_written(text: str, words: str, size: int) -> None:
    found = space.dimension_of(text)
    assert (found.words(), found.size) == (words, size)


@pytest.mark.parametrize("text", ["a", "a=", "=1,2", "a=5", "a=9..2", "a=0..4*"])
def test_what_is_no_dimension_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        space.dimension_of(text)


def test_the_sampler_finds_the_best_and_asks_for_no_point_twice(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="tool: the extra search")
    from runner.search.sampler import Sampler

    at = plan(trials=14, rounds=1)
    machine = Machine()
    sitting = study(at, tmp_path, machine)
    assert sitting.sit(Sampler(at.space, at.seed), until=1e9)
    points = [json.dumps(each.point, sort_keys=True) for each in sitting.candidates.values()]
    assert len(points) == len(set(points)) >= 15
    best = front.pick(sitting.found(), None)
    assert best is not None
    assert sitting.candidates[best].point["layout"] == "many"
    few = Plan(live=LIVE, words=(), space=(LAYOUT,), trials=9, leaders=1, rounds=1, memory_bytes=None, seed=1)
    sitting = study(few, tmp_path, machine)
    assert sitting.sit(Sampler(few.space, few.seed), until=1e9), "a small space is used up"
    assert len(sitting.candidates) == 3
