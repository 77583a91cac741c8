"""How often `runner validate` sees a planted slowdown and how often it cries wolf:
`python -m tests.validate.power FOLDER [MINUTES]`.

Trials of the three kinds alternate, so that a lane that is cut short has some of each. Prints a line a trial and a
table at the end. Called by the torture lane (test_power.py) and by hand.
"""

import sys
import time
from pathlib import Path

from runner.compare import pairs
from runner.layout import PACKAGE
from runner.validate import corpus
from runner.validate.session import Arm, Unit
from runner.validate.session import pairs as measured

KINDS = {"5 %": 1.05, "10 %": 1.10, "A/A": 1.0}


def trials(folder: Path, wanted: dict[str, int], size: int = 30, until: float = float("inf")) -> dict[str, list[bool]]:
    """By kind: whether each trial found a slowdown (a difference, for A/A)."""
    units: dict[str, Unit] = {}
    found: dict[str, list[bool]] = {kind: [] for kind in wanted}
    try:
        for name, factor in {"base": 1.0, **KINDS}.items():
            documents = round(corpus.UNIT_DOCUMENTS * factor)
            arm = Arm(PACKAGE.parent, corpus.write(folder / name.replace(" ", "").replace("/", ""), documents))
            units[name] = arm.start([*corpus.overrides(arm.input)])
        known = pairs.calibrate(measured(units["base"], units["A/A"], 2 * size), size)
        print(
            f"floors {dict(known.floors)}, false alarms {known.false_alarms:.1%}, spread {dict(known.spread)}",
            flush=True,
        )
        while time.monotonic() < until:
            waiting = [kind for kind, results in found.items() if len(results) < wanted[kind]]
            if not waiting:
                break
            for kind in waiting:
                judged = pairs.judge(measured(units["base"], units[kind], size), known.floors)
                seen = pairs.regressed(judged) if kind != "A/A" else any(
                    each.word != "no difference" for each in judged.values()
                )  # fmt: skip
                found[kind].append(seen)
                told = ", ".join(f"{name} {each.effect.ratio:.3f} z {each.z:+.1f}" for name, each in judged.items())
                print(f"{kind}: {'found' if seen else 'nothing'} ({told})", flush=True)
    finally:
        for unit in units.values():
            unit.close()
    return found


def main() -> int:
    """FOLDER [MINUTES]"""
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    found = trials(Path(sys.argv[1]), {"5 %": 30, "10 %": 30, "A/A": 40}, until=time.monotonic() + 60 * minutes)
    for kind, results in found.items():
        print(f"{kind}: {sum(results)} of {len(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
