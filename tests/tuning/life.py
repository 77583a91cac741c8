"""One life of a runner that tunes a fake root, for the kill lanes: says when it has tuned, waits, puts back, ends.

`python life.py FOLDER STEP[,STEP...] [PLANT]`. TUNE_ROOT names the fake root. PLANT is one of PLANTS: a bug that a lane
must see. Called by rig.py.
"""

import os
import sys
from pathlib import Path

from runner.config.schema import TuningConfig
from runner.tuning import journal, scopes, system
from tests.tuning import fake_root

BOOT = "boot-1"


def places(folder: Path) -> dict[str, Path]:
    return {"journal": folder / "state.jsonl", "lock": folder / "lock"}


def _intent_after_the_write(folder: Path) -> None:
    """The old value is written down when the new one is set already."""
    late: list[tuple[str, dict[str, object]]] = []
    append, call = journal.TuningJournal.append, system.scripts.call

    def later(self: journal.TuningJournal, op: journal.Op, step: str, **fields: object) -> None:
        if op == "intent" and self.path == folder / "state.jsonl":
            late.append((step, fields))
        else:
            append(self, op, step, **fields)  # type: ignore[arg-type]

    def called(step: str, verb: str, value: str = "", **fields: object) -> object:
        report = call(step, verb, value, **fields)  # type: ignore[arg-type]
        if verb == "apply":
            for name, found in late:
                append(journal.TuningJournal(folder / "state.jsonl"), "intent", name, **found)  # type: ignore[arg-type]
            late.clear()
        return report

    journal.TuningJournal.append = later  # type: ignore[assignment,method-assign]
    system.SystemScope.__init__.__kwdefaults__["call"] = called


def _last_old_value_wins(_folder: Path) -> None:
    """What a killed run had set is learnt as the original, and nothing is put back before."""
    system.SystemScope._revert = lambda self, kept=False: []  # type: ignore[method-assign]


def _no_guard(_folder: Path) -> None:
    scopes.Guard.start = lambda self: None  # type: ignore[method-assign]


PLANTS = {"late_intent": _intent_after_the_write, "no_revert": _last_old_value_wins, "no_guard": _no_guard}


def main(folder: Path, names: str, plant: str = "") -> None:
    if plant:
        PLANTS[plant](folder)
    known = fake_root.STEPS if os.environ.get("TUNE_ROOT") else fake_root.REAL_STEPS
    steps = {name: known[name] for name in names.split(",")}
    config = TuningConfig("life", ("system",), True, "always", "auto", "off", {}, steps)
    with scopes.tuned(
        config, {}, run="life", boot_id=BOOT, system="linux", mirror=folder / "tuning.jsonl", **places(folder)
    ):
        print("tuned", flush=True)
        sys.stdin.readline()
    print("back", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
