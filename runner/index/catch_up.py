"""Brings runs.sqlite level with the folders: what is new or has changed is read, what is gone is forgotten.

Two depths: the rows of runs and sweeps (`ls`: two small files a run), and those of documents and samples, read when
somebody asks for them. Called by the commands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

from runner.errors import RunnerError
from runner.index import tables, taking
from runner.layout import RunFolder, runs_index_file

_BATCH: Final = 5_000


class Index:
    """The open index of one outputs folder, level with it."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs.absolute()
        self.path = runs_index_file(self.outputs)
        self.db = tables.connect(self.path if self.outputs.is_dir() else Path(":memory:"))
        self._runs: dict[str, Path] = {}
        try:
            self._catch_up()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError):
                raise
            # Damaged inside: it is only a copy, and the next connection makes it anew.
            self.db.close()
            self.path.unlink(missing_ok=True)
            self.db = tables.connect(self.path)
            self._catch_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def _stamps(self, part: str) -> dict[str, str]:
        return dict(self.db.execute("SELECT folder, stamp FROM stamps WHERE part = ?", (part,)))

    def name_of(self, path: Path) -> str:
        """The folder relative to outputs, as in the column `folder`."""
        return path.relative_to(self.outputs).as_posix().encode("utf-8", "backslashreplace").decode()

    def _catch_up(self) -> None:
        known, seen = self._stamps("run"), {}
        # `running` may have become `crashed` without a file that changed.
        live = {folder for (folder,) in self.db.execute("SELECT folder FROM runs WHERE state IN ('running')")}
        found = [(path, None) for path in taking.folders(self.outputs / "runs", 2)]
        swept = list(taking.folders(self.outputs / "sweeps", 2))
        found += [(job, place) for place in swept for job in taking.folders(place, 1)]  # type: ignore[misc]
        changed = []
        for path, sweep in found:
            run, name = RunFolder(path), self.name_of(path)
            self._runs[name] = path
            seen[name] = taking.stamp_of(run.run_json, run.summary, run.environment)
            if seen[name] != known.get(name) or name in live:
                changed.append((run, name, None if sweep is None else taking.number_of(self.name_of(sweep))))
        gone = known.keys() - seen.keys()
        sweeps = self._changed_sweeps(swept)
        if not (changed or gone or sweeps or self._gone_sweeps(swept)):
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for folder in gone:
                self._forget(folder)
            for run, name, number in changed:
                row = taking.run_row(run, name, number)
                self._put("runs", row)
                self._stamp(name, "run", seen[name])
            for path, name, stamp in sweeps:
                self._put_sweep(path, name, stamp)
            for folder in self._gone_sweeps(swept):
                self._forget_sweep(folder)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise

    def _changed_sweeps(self, swept: Iterable[Path]) -> list[tuple[Path, str, str]]:
        known = self._stamps("sweep")
        live = {folder for (folder,) in self.db.execute("SELECT folder FROM sweeps WHERE state = 'running'")}
        out = []
        for path in swept:
            name = self.name_of(path)
            stamp = taking.stamp_of(path / "sweep.json", path / "jobs.jsonl", path / "preflight.json")
            if stamp != known.get(name) or name in live:
                out.append((path, name, stamp))
        return out

    def _gone_sweeps(self, swept: Iterable[Path]) -> list[str]:
        return sorted(self._stamps("sweep").keys() - {self.name_of(path) for path in swept})

    def _put_sweep(self, path: Path, name: str, stamp: str) -> None:
        self._forget_sweep(name)
        try:
            row, jobs = taking.sweep_rows(path, name)
        except (RunnerError, KeyError, TypeError, ValueError) as error:
            # Of an older runner (no sweep.json), or damaged: listed as what it is.
            row = (taking.number_of(name), name, "unreadable", str(error), *[None] * 7)
            jobs = []
        self.db.execute(f"INSERT INTO sweeps VALUES ({','.join('?' * 11)})", row)
        self.db.executemany(f"INSERT OR REPLACE INTO jobs VALUES ({','.join('?' * 9)})", jobs)
        self._stamp(name, "sweep", stamp)

    def _forget_sweep(self, folder: str) -> None:
        number = taking.number_of(folder)
        for table in ("sweeps", "jobs"):
            self.db.execute(f"DELETE FROM {table} WHERE sweep = ?", (number,))
        self.db.execute("DELETE FROM stamps WHERE folder = ? AND part = 'sweep'", (folder,))

    def _forget(self, folder: str) -> None:
        number = taking.number_of(folder)
        for table in ("runs", "documents", "metrics"):
            self.db.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
        self.db.execute("DELETE FROM stamps WHERE folder = ? AND part != 'sweep'", (folder,))

    def _put(self, table: str, row: dict[str, Any]) -> None:
        names, marks = ",".join(row), ",".join("?" * len(row))
        self.db.execute(f"INSERT OR REPLACE INTO {table}({names}) VALUES ({marks})", tuple(row.values()))

    def _stamp(self, folder: str, part: str, stamp: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)", (folder, part, stamp))

    def take_documents(self, only: Path | None = None) -> None:
        """Documents and samples of all runs, or of `only` one, are level after this."""
        name = None if only is None else self.name_of(only)
        chosen = self._runs if name is None else {name: self._runs[name]} if name in self._runs else {}
        for part, table in (("documents", "documents"), ("metrics", "metrics")):
            known = self._stamps(part)
            for folder, path in chosen.items():
                run = RunFolder(path)
                stamp = taking.stamp_of(run.results if part == "documents" else run.metrics)
                if stamp != known.get(folder):
                    self._take(table, run, folder, stamp)

    def _take(self, table: str, run: RunFolder, folder: str, stamp: str) -> None:
        number = taking.number_of(folder)
        rows = taking.documents(run, number) if table == "documents" else taking.samples(run, number)
        width = 24 if table == "documents" else 4
        self.db.execute("BEGIN IMMEDIATE")
        try:
            self.db.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
            try:
                batch: list[taking.Values] = []
                for row in rows:
                    batch.append(row)
                    if len(batch) == _BATCH:
                        self.db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * width)})", batch)
                        batch.clear()
                self.db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * width)})", batch)
            except taking.Damaged as error:
                self.db.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
                self.db.execute("UPDATE runs SET problem = ? WHERE run = ?", (str(error), number))
            self._stamp(folder, table, stamp)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise

    def path_of(self, folder: str) -> Path:
        """The folder of a row."""
        return self._runs[folder]
