"""A run's results as one table in a file: parquet, a folder that `datasets` loads, CSV or JSON lines.

Every column has its type whatever the rows hold, so that the files of two runs always fit together. pyarrow (extra
`parquet`) is imported for parquet alone. Called by the export command.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from runner.display import csv_cell
from runner.errors import StorageError, UsageError
from runner.layout import RunFolder
from runner.store.files import full_sync, storage, sync_folder

Form = Literal["parquet", "hf", "csv", "jsonl"]

COLUMNS: Final[dict[str, type]] = {
    "input_id": str, "source": str, "doc_id": str, "status": str, "reason": str, "output": str, "finish_reason": str,
    "parts": int, "tokens_in": int, "tokens_out": int, "attempts": int, "text_bytes": int, "covered_bytes": int,
    "queued_ms": float, "prefill_ms": float, "decode_ms": float, "duplicate_of": str, "reused_from": str,
    "reader": str, "unread": str, "run": str,
}  # fmt: skip
"""Of every form, in this order."""

_BATCH: Final = 2_000

_CARD: Final = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---

# {title}

{count} rows, written by runner. `datasets.load_dataset` loads this folder.
"""


def rows(run: RunFolder, run_id: str, status: str | None) -> Iterator[dict[str, Any]]:
    """The results of the run as flat rows; `status`: only those."""
    if not run.results.is_file():
        raise UsageError(f"{run.root} has no results.jsonl yet", "wait until its first documents are done")
    with storage(f"cannot read {run.results}"), run.results.open("rb") as lines:
        for number, raw in enumerate(lines):
            if not raw.endswith(b"\n"):
                return
            try:
                line = json.loads(raw)
                row = _row(line, run_id)
            except (ValueError, KeyError, TypeError) as error:
                raise StorageError(f"{run.results} line {number + 1} is no result", "restore the file") from error
            if status is None or row["status"] == status:
                yield row


def _row(line: dict[str, Any], run_id: str) -> dict[str, Any]:
    parts, coverage, timings = line["parts"], line.get("coverage") or {}, line.get("timings") or {}
    plain = ("input_id", "source", "doc_id", "status", "reason", "output", "attempts", "duplicate_of", "reused_from")
    row = {
        **{name: line[name] for name in plain},
        "finish_reason": parts[-1]["finish_reason"] if parts else None,
        "parts": len(parts),
        "tokens_in": sum(part["tokens_in"] for part in parts),
        "tokens_out": sum(part["tokens_out"] for part in parts),
        "reader": line.get("reader"),
        "unread": line.get("unread"),
        "run": run_id,
        **{name: coverage.get(name) for name in ("text_bytes", "covered_bytes")},
        **{name: timings.get(name) for name in ("queued_ms", "prefill_ms", "decode_ms")},
    }
    return {name: row[name] for name in COLUMNS}


def write(form: Form, found: Iterator[dict[str, Any]], out: Path, title: str) -> int:
    """Writes `out` whole or not at all; the number of rows. An existing file or folder is never overwritten."""
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already", "give another --out, or move it away")
    temporary = out.with_name(f".{out.name}.tmp")
    with storage(f"cannot write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)
        try:
            count = _FORMS[form](found, temporary, title)
            temporary.rename(out)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(out.parent)
    return count


def _csv(found: Iterator[dict[str, Any]], path: Path, _title: str) -> int:
    count = 0
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
        table = csv.writer(out)
        table.writerow(COLUMNS)
        for count, row in enumerate(found, 1):  # noqa: B007 - its last value is the answer
            table.writerow([csv_cell(value) for value in row.values()])
        out.flush()
        full_sync(out.fileno())
    return count


def _jsonl(found: Iterator[dict[str, Any]], path: Path, _title: str) -> int:
    count = 0
    with path.open("w", encoding="ascii") as out:
        for count, row in enumerate(found, 1):  # noqa: B007
            out.write(json.dumps(row) + "\n")
        out.flush()
        full_sync(out.fileno())
    return count


def _parquet(found: Iterator[dict[str, Any]], path: Path, _title: str) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError(
            "parquet needs pyarrow, which is not installed", "pip install 'mlx-runner[parquet]', or --to jsonl"
        ) from error
    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        while batch := [row for _, row in zip(range(_BATCH), found, strict=False)]:
            out.write_table(pa.Table.from_pylist([_encodable(row) for row in batch], schema=schema))
            count += len(batch)
    with path.open("rb") as written:
        full_sync(written.fileno())
    return count


def _encodable(row: dict[str, Any]) -> dict[str, Any]:
    """Half a surrogate pair, which JSON can say and UTF-8 cannot, as its escape."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _hf(found: Iterator[dict[str, Any]], path: Path, title: str) -> int:
    data = path / "data"
    data.mkdir(parents=True)
    count = _parquet(found, data / "train-00000-of-00001.parquet", title)
    text = _CARD.format(title=title, count=count)
    (path / "README.md").write_text(text, encoding="utf-8", errors="backslashreplace")
    sync_folder(data)
    return count


_FORMS: Final[dict[Form, Callable[[Iterator[dict[str, Any]], Path, str], int]]] = {
    "parquet": _parquet,
    "hf": _hf,
    "csv": _csv,
    "jsonl": _jsonl,
}
