"""The rule that calls a build slower: what it finds and what it leaves alone, on simulated pairs."""

import math
import random

from runner.compare import pairs

FLOORS = {"cpu": 0.01, "wall": 0.05}


def simulated(seed: int, slower: float, size: int = 30) -> dict[str, list[float]]:
    chance = random.Random(seed)
    cpu = [math.log(slower) + chance.gauss(0, 0.02) for _ in range(size)]
    return {"cpu": cpu, "wall": [each + chance.gauss(0, 0.2) for each in cpu]}


def test_a_slowdown_is_found_and_nothing_is_not() -> None:
    """Enough trials that a rule without its test or without its floor fails: bounds as in the torture lane."""
    found = [
        sum(pairs.regressed(pairs.judge(simulated(seed, factor), FLOORS)) for seed in range(40))
        for factor in (1.05, 1.1)
    ]
    assert found[0] >= 36
    assert found[1] >= 38
    same = [pairs.judge(simulated(seed, 1.0), FLOORS) for seed in range(200)]
    assert sum(any(each.word != "no difference" for each in judged.values()) for judged in same) <= 4


def test_an_effect_below_the_floor_is_no_regression_however_sure_it_is() -> None:
    judged = pairs.judge({"cpu": [0.004 + 0.0001 * number for number in range(30)]}, FLOORS)["cpu"]
    assert judged.z > 4
    assert judged.word == "no difference"


def test_a_faster_build_is_called_faster_and_is_no_regression() -> None:
    judged = pairs.judge(simulated(1, 0.9), FLOORS)
    assert judged["cpu"].word == "faster"
    assert not pairs.regressed(judged)


def test_the_floor_follows_what_the_machine_shows_against_itself() -> None:
    quiet = pairs.calibrate(simulated(1, 1.0, 60), 30)
    noisy = pairs.calibrate({name: [10 * each for each in d] for name, d in simulated(1, 1.0, 60).items()}, 30)
    assert quiet.floors["cpu"] < 0.03 < noisy.floors["cpu"]
    assert quiet.false_alarms <= 0.05


def test_what_favours_one_arm_shows_as_false_alarms() -> None:
    """The second half of the calibration is slower in one arm: the floor of the first half does not know."""
    half = simulated(1, 1.0, 30)
    biased = {name: d + [each + 0.1 for each in d] for name, d in half.items()}
    assert pairs.calibrate(biased, 30).false_alarms > 0.9


def test_changes_of_level_are_found_where_they_are() -> None:
    chance = random.Random(3)
    level = [chance.gauss(1.0, 0.01) for _ in range(20)] + [chance.gauss(1.1, 0.01) for _ in range(15)]
    assert pairs.change_points(level) == [20]
    quiet = [
        pairs.change_points([random.Random(seed * 100 + n).gauss(1, 0.01) for n in range(40)]) for seed in range(50)
    ]
    assert sum(map(bool, quiet)) <= 3
