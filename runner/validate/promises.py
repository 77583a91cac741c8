"""What must hold whatever the speed: goldens of what documents say, and the promises about results, by whole runs.

Each check starts the command line as a user does, with the scripted engine and documents of its own. A few seconds in
all; the fault lanes (`make test`, `make torture`) go much further. Called by commands/validate.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from runner import layout, trial
from runner.errors import EXIT_STORAGE

GOLDENS: Final = Path(__file__).with_name("goldens.json")
DOCUMENTS: Final = 12
_KILLED: Final = "killed and resumed, nothing is lost and nothing is done twice"
_WORDS: Final = (
    "model=tiny", "model.engine=scripted", "job=prompt", "job.template={{ document }}", "on_busy=wait",
    "cores.workers=1",
)  # fmt: skip


def _script(delay_ms: int) -> str:
    return "model.script=" + json.dumps({"output": "echo", "steps": 1, "delay_ms_per_row": delay_ms})


def said(folder: Path, input_: Path, scratch: Path) -> dict[str, str]:
    """What the engine was given of each document below `input_`: status and a hash, by relative path."""
    words = [*_WORDS, _script(0), f"input={input_}", "job.max_tokens=4000"]
    code = trial.command([*words, f"output.dir={folder}", "output.reuse=never"], scratch, scratch / "goldens.log")
    if code not in (0, 3):
        return {"": f"the run ended with exit code {code}"}
    found = {}
    for line in _results(folder / "latest"):
        output = hashlib.sha256("".join(part["output"] for part in line["parts"]).encode()).hexdigest()[:16]
        found[Path(line["source"]).name] = f"{line['status']} {line['doc_id'][:16]} {output}"
    return found


def golden_problems(scratch: Path) -> list[str]:
    """What is read of the example corpus against runner/validate/goldens.json, document by document."""
    wanted: dict[str, str] = json.loads(GOLDENS.read_text(encoding="utf-8"))["documents"]
    found = said(scratch / "goldens", layout.example_documents(), scratch)
    names = sorted({*wanted, *found})
    return [
        f"{name}: {found.get(name)}, wanted {wanted.get(name)}" for name in names if wanted.get(name) != found.get(name)
    ]


def write_goldens() -> None:
    """For a change that is meant: `python -m runner.validate.promises`."""
    with tempfile.TemporaryDirectory() as folder:
        found = said(Path(folder) / "goldens", layout.example_documents(), Path(folder))
    about = "Of each example document: status, first digits of doc_id, hash of what the engine is given."
    GOLDENS.write_text(
        json.dumps({"version": 1, "about": about, "documents": found}, indent=1) + "\n", encoding="utf-8"
    )


def promises(scratch: Path) -> Iterator[tuple[str, str]]:
    """(promise, problem): the problem is empty when it is kept."""
    texts = scratch / "texts"
    texts.mkdir()
    for number in range(DOCUMENTS):
        (texts / f"{number:02}.txt").write_text(f"document {number}", encoding="utf-8")
    log = scratch / "promises.log"
    words = [*_WORDS, f"input={texts}"]
    whole = scratch / "whole"
    code = trial.command([*words, _script(0), f"output.dir={whole}"], scratch, log)
    yield "every input ends exactly once", _once(whole / "latest", code)
    before = _runs(whole)
    code = trial.command([*words, _script(0), f"output.dir={whole}"], scratch, log)
    yield (
        "a second run of the same batch does nothing",
        "" if (code, _runs(whole)) == (0, before) else f"exit code {code}",
    )
    cut = scratch / "cut"
    slow = [*words, _script(60), f"output.dir={cut}", "batching.max_num_seqs=4"]
    code = trial.killed(slow, scratch, log, lambda: len(_results(cut / "latest")) >= 2)
    if code >= 0:
        yield (
            "killed and resumed, nothing is lost and nothing is done twice",
            f"it ended by itself with exit code {code}",
        )
        return
    run, damaged = (cut / "latest").resolve(), scratch / "damaged"
    shutil.copytree(run, damaged)
    yield "a damaged journal is refused and not changed", _refused(damaged, scratch, log)
    code = trial.command(["resume", str(run)], scratch, log)
    yield _KILLED, _once(run, code)


def _once(run: Path, code: int) -> str:
    ends = Counter(Path(line["source"]).name for line in _results(run) if line["status"] == "ok")
    wrong = [
        f"{number:02}.txt: {ends[f'{number:02}.txt']} times"
        for number in range(DOCUMENTS)
        if ends[f"{number:02}.txt"] != 1
    ]
    if code != 0:
        return f"exit code {code}"
    return ", ".join(wrong)


def _refused(run: Path, scratch: Path, log: Path) -> str:
    journal = run / "journal"
    raw = bytearray(journal.read_bytes())
    raw[30] ^= 0xFF
    journal.write_bytes(raw)
    code = trial.command(["resume", str(run)], scratch, log)
    if code != EXIT_STORAGE:
        return f"exit code {code}, wanted {EXIT_STORAGE}"
    return "" if journal.read_bytes() == bytes(raw) else "the file was changed"


def _runs(outputs: Path) -> list[Path]:
    return sorted((outputs / "runs").glob("*/*"))


def _results(run: Path) -> list[dict[str, Any]]:
    try:
        text = (run / "results.jsonl").read_text(encoding="utf-8")
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    write_goldens()
