"""Sittings on a simulated machine: planted steps are judged for what they are, and nothing measured is lost."""

import json
import random
from pathlib import Path

import pytest

from runner.compare import statistics
from runner.errors import BusyError, RunFailed, UsageError
from runner.prove import session as sessions
from runner.prove.disturbance import Sample
from runner.prove.session import verdicts
from runner.prove.steps import BASELINE
from runner.store.evidence import EvidenceFile
from runner.store.locks import FileLock
from runner.trial import Trial
from tests.unit.prove.simulated import Simulated, plan, session, sit, step


def words(sitting: sessions.Session, at: sessions.Plan) -> dict[str, str]:
    return {name: verdict.word for name, verdict in verdicts(at, sitting.known).items()}


def test_planted_steps_are_judged_for_what_they_are(tmp_path: Path) -> None:
    at = plan(step("nothing"), step("faster"), step("slower"))
    found = words(sit(at, tmp_path, Simulated(1, faster=0.8, slower=1.25)), at)
    assert found == {"nothing": "no effect", "faster": "helps", "slower": "hurts"}


@pytest.mark.parametrize("kind", ["quiet", "bursts", "drift"])
def test_a_planted_nothing_is_hardly_ever_judged(kind: str, tmp_path: Path, seeded: random.Random) -> None:
    """40 plans of one step without effect; 5 % of two may be wrong, 7 of 40 would be a chance below 1 in 1000."""
    noise = {"quiet": {}, "bursts": {"bursts": 0.2}, "drift": {"drift": 0.01}}[kind]
    wrong = 0
    for number in range(40):
        at = plan(step("nothing"), seed=seeded.randrange(2**31))
        found = words(sit(at, tmp_path / str(number), Simulated(seeded.randrange(2**31), **noise)), at)
        wrong += found["nothing"] in ("helps", "hurts")
    assert wrong < 7


def test_a_fixed_order_of_the_arms_would_be_fooled_by_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: baseline always first, on a machine that gets slower."""

    class Fixed(random.Random):
        def sample(self, population, k, *, counts=None):
            return list(population)[:k]

    monkeypatch.setattr(sessions.random, "Random", Fixed)
    at = plan(step("nothing"), min_effect=0.001)
    found = words(sit(at, tmp_path, Simulated(3, sd=0.003, drift=0.01)), at)
    assert found["nothing"] == "hurts"


def test_a_second_sitting_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    at = plan(step("slower"), step("other"))
    first, whole = Simulated(1, slower=1.5), Simulated(1, slower=1.5)
    sit(at, tmp_path / "two", first, until=14)
    before = session(at, tmp_path / "two", first).known.pairs
    assert before["slower"], "the first sitting got that far"
    second = Simulated(2, slower=1.5)
    sitting = sit(at, tmp_path / "two", second)
    sit(at, tmp_path / "one", whole)
    assert words(sitting, at)["slower"] == "hurts"
    assert sitting.known.sittings == 2
    orders = []
    for folder in ("two", "one"):
        records = EvidenceFile(tmp_path / folder / f"{at.id}.jsonl").records()
        orders.append([(r["step"], r["number"], r["first"]) for r in records if r["op"] == "pair"])
    assert len(orders[0]) == len(set(orders[0])), "no pair was measured twice"
    shared = min(len(orders[0]), len(orders[1]))
    assert orders[0][:shared] == orders[1][:shared], "the seed alone decides the order"


def test_a_torn_last_line_costs_that_pair_alone(tmp_path: Path) -> None:
    at = plan(step("slower"))
    sit(at, tmp_path, Simulated(1), until=6)
    file = tmp_path / f"{at.id}.jsonl"
    pairs = len(session(at, tmp_path, Simulated(1)).known.pairs[BASELINE])
    lines = [line for line in file.read_bytes().split(b"\n") if b'"op": "verdict"' not in line and line]
    file.write_bytes(b"\n".join(lines)[:-5])
    assert len(session(at, tmp_path, Simulated(1)).known.pairs[BASELINE]) == pairs - 1
    sit(at, tmp_path, Simulated(1))
    again = session(at, tmp_path, Simulated(1)).known.pairs[BASELINE]
    assert sorted(again) == list(range(1, at.aa_pairs + 1))


def test_what_is_decided_stops_and_the_rest_goes_on(tmp_path: Path) -> None:
    at = plan(step("slower"), step("nothing"))
    known = sit(at, tmp_path, Simulated(1, slower=2.0)).known
    looks = statistics.looks(2)
    assert (len(known.pairs["slower"]), len(known.pairs["nothing"])) == (looks[0], looks[-1])


def test_an_effect_below_what_the_machine_can_show_is_not_judged(tmp_path: Path) -> None:
    at = plan(step("slower"))
    sitting = sit(at, tmp_path, Simulated(5, sd=0.05, slower=1.25))
    for pair in sitting.known.pairs[BASELINE].values():
        pair["b"]["seconds"] *= 3 ** (1 if pair["number"] % 2 else -1)  # a wild baseline
    verdict = verdicts(at, sitting.known)["slower"]
    assert verdict.word == "undecided"
    assert "that this machine can show" in verdict.note


def test_a_step_that_does_not_run_says_so_and_still_counts_as_a_step(tmp_path: Path) -> None:
    at = plan(step("slower"), step("broken", "x=FAILS"))
    found = verdicts(at, sit(at, tmp_path, Simulated(1, slower=1.5)).known)
    assert (found["broken"].word, found["slower"].word) == ("does not run", "hurts")
    assert found["broken"].note == "arm b ends with exit code 2: error: it cannot run"
    assert found["slower"].boundary == statistics.boundary(statistics.looks(2), 2)


def test_a_disturbed_pair_is_measured_once_more_and_both_are_kept(tmp_path: Path) -> None:
    counters = iter(range(0, 10_000_000, 1000))

    def sample() -> Sample:
        return Sample(total_s=float(next(counters)), idle_s=0.0, steal_s=0.0, swapped_in=0, plugged="1")

    at = plan(step("slower"))
    sitting = sit(at, tmp_path, Simulated(1), until=3, sample=sample)
    records = EvidenceFile(tmp_path / f"{at.id}.jsonl").records()
    seen = [(r["number"], r["again"]) for r in records if r["op"] == "pair"]
    assert seen[:2] == [(1, True), (1, False)]
    assert sitting.known.redone == sum(again for _, again in seen)
    assert "other processes" in next(r for r in records if r["op"] == "pair")["disturbed"][0]


def test_another_input_in_the_second_arm_is_refused(tmp_path: Path) -> None:
    start = Simulated(1)
    at = plan(step("slower"))
    sit(at, tmp_path, start, until=3)
    start.documents = ["a", "c"]
    with pytest.raises(RunFailed, match="did not read the same documents"):
        sit(at, tmp_path, start)


def test_a_baseline_that_does_not_run_ends_the_sitting(tmp_path: Path) -> None:
    at = plan(step("slower"), words=("x=FAILS",))
    with pytest.raises(RunFailed, match="ends with exit code 2: error: it cannot run"):
        sit(at, tmp_path, Simulated(1))


def test_a_busy_machine_is_no_verdict(tmp_path: Path) -> None:
    def busy(overrides: object, folder: Path, console: Path) -> Trial:
        console.write_text("error: the run folder is in use by somebody\n")
        return Trial(75, 0.1, 0.1, None)

    at = plan(step("slower"))
    with pytest.raises(BusyError, match="in use by somebody"):
        sit(at, tmp_path, busy)  # type: ignore[arg-type]
    assert not [r for r in EvidenceFile(tmp_path / f"{at.id}.jsonl").records() if r["op"] == "failed"]


def test_a_newer_evidence_file_is_refused(tmp_path: Path) -> None:
    at = plan(step("slower"))
    EvidenceFile(tmp_path / f"{at.id}.jsonl").append("plan", v=2)
    with pytest.raises(UsageError, match="has version 2, this runner reads up to 1"):
        session(at, tmp_path, Simulated(1))


def test_nothing_is_left_of_the_runs(tmp_path: Path) -> None:
    at = plan(step("slower"))
    sit(at, tmp_path, Simulated(1), until=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{at.id}.jsonl", f"{at.id}.lock"]
    first = json.loads((tmp_path / f"{at.id}.jsonl").read_text().splitlines()[0])
    assert (first["op"], first["v"], first["plan"]) == ("plan", 1, at.id)


def test_two_sittings_of_one_plan_at_once_are_refused(tmp_path: Path) -> None:
    at = plan(step("slower"))
    other = FileLock(tmp_path / f"{at.id}.lock")
    assert other.acquire("a sitting of the same plan")
    with pytest.raises(BusyError, match="is being measured by process"):
        sit(at, tmp_path, Simulated(1))
    other.release()
    assert sit(at, tmp_path, Simulated(1, slower=1.5)).known.sittings == 1


def test_a_plan_that_keeps_disturbed_pairs_measures_none_twice(tmp_path: Path) -> None:
    clock = iter(range(0, 10_000_000, 1000))

    def busy() -> Sample:
        now = next(clock)
        return Sample(total_s=now, idle_s=0, steal_s=0, swapped_in=0, plugged="")

    at = plan(step("slower"), keep_disturbed=True)
    known = sit(at, tmp_path, Simulated(1, slower=1.5), sample=busy).known
    assert known.redone == 0
    assert all(pair["disturbed"] for pair in known.pairs[BASELINE].values())
    assert at.id != plan(step("slower")).id
