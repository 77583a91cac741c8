"""Broken PDFs through whole runs: seeded mutations of good ones, and folders of them that somebody has at hand.

`RUNNER_PDF_CORPUS=FOLDER[:FOLDER]` names the folders; `make torture` fetches the source packages of pdf.js and qpdf,
which hold over a thousand (docs/measurements.md). What needs no download runs in `make test`.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import peaks
from tests.end_to_end.conftest import Shell, scripted
from tests.end_to_end.pdf_writer import pdf
from tests.end_to_end.zoo import good_pdfs, mutations

SEED = 20261123
WORKER_BYTES = 1 << 30
RUN = scripted(
    "output.reuse=never", "job.max_failed=100000", "job.max_chunks=1", "job.max_tokens=60",
    f"ingest.isolation.memory_bytes={WORKER_BYTES}",
)  # fmt: skip
CLASSES = {
    "read": r"ok: $",
    "no text layer": r"skipped: no text layer ",
    "empty": r"skipped: empty$",
    "encrypted": r"failed: encrypted",
    "damaged": r"failed: damaged pdf: ",
    "limit": r"failed: limit ",
    "died": r"failed: parser: ",
    "no pdf": r"skipped: unsupported type|failed: binary content",
}
NEIGHBOUR = "Words of a neighbour."


def class_of(row: dict[str, Any]) -> str:
    """One of CLASSES; a reason that none of them knows is named as it is."""
    end = f"{row['status']}: {row['reason']}"
    return next((name for name, pattern in CLASSES.items() if re.match(pattern, end)), end)


def tally(rows: list[dict[str, Any]], paths: set[str]) -> tuple[Counter[str], list[str]]:
    """How many of each class, and what must not be: paths without a row or with two, ends of no class, deaths."""
    counts = Counter(row["source"] for row in rows)
    wrong = [f"{path}: {counts[path]} rows" for path in sorted(paths) if counts[path] != 1]
    wrong += [f"{source}: nobody's" for source in counts.keys() - paths]
    classes = Counter(map(class_of, rows))
    wrong += [f"{count} of no class: {name}" for name, count in classes.items() if name not in CLASSES]
    wrong += [f"{row['source']}: {row['reason']}" for row in rows if class_of(row) == "died"]
    return classes, wrong


def run(shell: Shell, folders: list[Path], seconds: float) -> tuple[Counter[str], list[str], dict[str, Any]]:
    """A run over every PDF of these folders, with healthy ones before and behind."""
    for name in ("a", "z"):
        (shell.folder / f"{name}.pdf").write_bytes(pdf([NEIGHBOUR]))
    inputs = [shell.folder / "a.pdf", *folders, shell.folder / "z.pdf"]
    named = ",".join(f"'{path}'" for path in inputs)
    all_of_them = ("ingest.include=['*.[pP][dD][fF]']", "ingest.hidden=true", "ingest.ignore_files=false")
    done = shell.run(*RUN, f"input=[{named}]", *all_of_them, seconds=seconds)
    assert done.returncode == 0, done.stderr[-3000:]
    paths = {
        str(path) for folder in inputs for path in ([folder] if folder.is_file() else folder.rglob("*")) if is_pdf(path)
    }
    rows = shell.results()
    classes, wrong = tally(rows, paths)
    ends = [row for row in rows if row["source"] in {str(inputs[0]), str(inputs[-1])}]
    wrong += [
        f"{row['source']}: {row['reason']}" for row in ends if row["status"] != "ok" or NEIGHBOUR not in row["output"]
    ]
    summary = json.loads((shell.folder / "outputs" / "latest" / "summary.json").read_text())
    return classes, wrong + peaks.too_large(summary, WORKER_BYTES), summary


def is_pdf(path: Path) -> bool:
    return path.suffix.lower() == ".pdf" and path.is_file() and not path.is_symlink()


def mutated(folder: Path, good: dict[str, bytes], count: int) -> Path:
    folder.mkdir()
    for name, data in mutations(good, count, SEED):
        (folder / name).write_bytes(data)
    return folder


def told(name: str, classes: Counter[str], summary: dict[str, Any]) -> str:
    counts = f"{summary['inputs']} files in {summary['seconds']:.0f} s: {dict(classes)}"
    return f"{name}: {counts}; peaks: {peaks.shown(summary)}"


def test_mutations_of_good_pdfs_end_with_a_row_each_and_no_reader_dies(shell: Shell) -> None:
    classes, wrong, summary = run(shell, [mutated(shell.folder / "mutated", good_pdfs(), 80)], 240)
    print(told("80 mutations", classes, summary))
    assert wrong == []
    assert classes["read"] > 10
    assert classes["damaged"] > 5


@pytest.mark.torture
@pytest.mark.timeout(3600)  # over a thousand files, some of which take their whole processor time
def test_folders_of_broken_pdfs_and_400_mutations_end_with_a_row_each(shell: Shell) -> None:
    folders = [Path(name) for name in os.environ.get("RUNNER_PDF_CORPUS", "").split(":") if name]
    if not folders:
        pytest.skip("platform: RUNNER_PDF_CORPUS names no folder of PDFs: tests/sources.sh FOLDER pdf.js qpdf fetches")
    classes, wrong, summary = run(shell, folders, 3000)
    print(told("corpus", classes, summary))
    good = {
        str(path): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.pdf")) if is_pdf(path)
    }
    good = {path: data for path, data in good.items() if len(data) < 1_500_000 and data.startswith(b"%PDF")}
    mutants, more, beside = run(shell, [mutated(shell.folder / "mutated", good, 400)], 3000)
    print(told("400 mutations of them", mutants, beside))
    assert wrong + more == []


@pytest.mark.parametrize("harm", ["lost", "twice", "died", "unknown"])
def test_planted_harm_to_the_rows_is_seen(harm: str) -> None:
    good = [{"source": name, "status": "ok", "reason": ""} for name in "abc"]
    paths = set("abc")
    assert tally(good, paths) == (Counter(read=3), [])
    rows = {
        "lost": good[:-1],
        "twice": [*good, good[0]],
        "died": [*good[:-1], {"source": "c", "status": "failed", "reason": "parser: the extract worker died 2 times"}],
        "unknown": [*good[:-1], {"source": "c", "status": "failed", "reason": "something new"}],
    }[harm]
    assert tally(rows, paths)[1]
