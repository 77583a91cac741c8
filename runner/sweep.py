"""A sweep: jobs that were composed and checked before, one process each and one at a time, with a failure policy;
done jobs are not done again, whatever was killed.

Knows no Hydra: hydra_plugins composes the jobs and calls `begin`, `run_batch`; the command line calls `finish`. Each
try of a job holds a lock of its own that the job's process inherits: a sweep that was killed leaves its running job
alive, and the next start waits for that one instead of starting it a second time. Files: store.sweeps,
docs/sweeps.md.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol

from runner import report, trial
from runner.errors import EXIT_SIGINT, EXIT_SIGTERM, BusyError, RunFailed, RunnerError
from runner.store import sweeps
from runner.store.files import storage
from runner.store.folder import now_text
from runner.store.locks import FileLock, is_held
from runner.store.sweeps import Job, Row, SweepFolder, SweepIdentity

OnFailure = Literal["continue", "stop"]

_LOOK_S: Final = 0.5
"""How often a job of an earlier life is looked at."""


class Start(Protocol):
    """`trial.run`."""

    def __call__(self, overrides: Sequence[str], folder: Path, console: Path, *, keep: Sequence[int]) -> trial.Trial:
        """One run in `folder`; `keep`: descriptors that the process holds until it ends."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a sweep ends early, and how long the machine rests behind a job that needed all of it."""

    on_failure: OnFailure = "continue"
    max_failures: int = 0
    """0 = no limit."""
    cool_down_s: float = 0.0


class SweepFailed(RunFailed):
    """Some jobs of a sweep failed; the others are done."""


class Sweep:
    """One life in one sweep's folder; an adaptive sweeper gives its jobs in several batches."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        words: Sequence[str] = (),
        start: Start = trial.run,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder, self.policy, self._start, self._rest = SweepFolder(folder), policy, start, rest
        self.jobs: list[Job] = []
        self.rows: dict[str, Row] = {}
        self.failures = 0
        self._hot = False
        with storage(f"cannot create {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder.lock)
        if not self._lock.acquire("sweep"):
            holder = self._lock.holder()
            raise BusyError(f"{folder} is in use by {holder}", "wait for that sweep to end; one writer a sweep folder")
        self._identity = self._begun(tuple(words))
        sweeps.write_identity(self.folder, self._identity)

    def _begun(self, words: tuple[str, ...]) -> SweepIdentity:
        policy = self.policy
        fresh = SweepIdentity(
            version=sweeps.SWEEP_VERSION, status="running", words=words, cwd=str(Path.cwd()),
            on_failure=policy.on_failure, max_failures=policy.max_failures, cool_down_s=policy.cool_down_s,
            started_at=now_text(), ended_at=None, lives=1, pid=os.getpid(), jobs=0,
        )  # fmt: skip
        if not self.folder.identity.is_file():
            return fresh
        before = sweeps.read(self.folder)
        return replace(fresh, started_at=before.started_at, lives=before.lives + 1)

    def run_batch(self, jobs: Sequence[Job]) -> list[Row]:
        """The rows of these jobs. SweepFailed when the policy ends the sweep here; otherwise failures are told by
        `close`. SIGTERM drains the running job and ends with 143."""
        self.jobs += jobs
        sweeps.write_jobs(self.folder, self.jobs)
        _say(f"sweep: {len(jobs)} jobs -> {self.folder.root}")
        rows: list[Row] = []
        with trial.sigterm_raises():
            try:
                for job in jobs:
                    rows.append(self._done_before(job) or self._run(job))
                    self.rows[job.key] = rows[-1]
                    self._check_policy(rows[-1])
            finally:
                sweeps.write_table(self.folder, self.jobs, self.rows)
        return rows

    def _check_policy(self, row: Row) -> None:
        self.failures += row.status != "completed"
        if row.status == "interrupted":
            raise self._failed()
        policy = self.policy
        if self.failures and (policy.on_failure == "stop" or self.failures == policy.max_failures):
            raise self._failed()

    def _failed(self) -> SweepFailed:
        left = len({job.key for job in self.jobs} - set(self.rows))
        more = f", {left} not started" if left else ""
        return SweepFailed(
            f"{self.failures} of {len(self.jobs)} jobs failed{more}",
            f"see console.log of each in {self.folder.root}; `runner resume {self.folder.root}` skips what is done",
        )

    def close(self, error: BaseException | None = None) -> None:
        """Writes how it ended, draws the report and lets go of the folder. SweepFailed when jobs failed and nothing
        else was raised."""
        if error is None and self.failures:
            error = self._failed()
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        stopped = stopped or any(row.status == "interrupted" for row in self.rows.values())
        problem = error.problem if isinstance(error, RunnerError) else ""
        status: sweeps.SweepStatus = "interrupted" if stopped else "failed" if error else "finished"
        identity = replace(self._identity, status=status, ended_at=now_text(), jobs=len(self.jobs), problem=problem)
        try:
            sweeps.write_identity(self.folder, identity)
            said, _ = report.attempt(lambda: report.write_sweep(self.folder.root), self.folder.root)
            _say(said)
        finally:
            self._lock.release()
        if isinstance(error, SweepFailed):
            raise error

    def _done_before(self, job: Job) -> Row | None:
        self._wait_for_orphan(job)
        row = self.rows.get(job.key) or sweeps.ended(self.folder, job.key)
        if row is not None and row.status == "completed":
            _say(f"  #{job.number} {job.shown}: already done")
            return replace(row, job=job.number, overrides=job.shown)
        row = sweeps.adopted(self.folder, job)
        if row is not None:
            sweeps.write_status(self.folder, row)
            _say(f"  #{job.number} {job.shown}: was done by a life of this sweep that did not see its end")
        return row

    def _wait_for_orphan(self, job: Job) -> None:
        """A job that a killed sweep left running goes on to its end; it is not started a second time."""
        said = False
        for lock in self.folder.root.glob(f"*_{job.key}.lock"):
            while is_held(lock):
                if not said:
                    _say(f"  #{job.number} {job.shown}: still runs from an earlier life, waiting for its end")
                said = True
                self._rest(_LOOK_S)

    def _run(self, job: Job) -> Row:
        if self._hot and self.policy.cool_down_s > 0:
            self._rest(self.policy.cool_down_s)
        root = self.folder.root
        place = root / f"{job.number:03d}_{job.key}"
        attempt = 1
        # A failed try keeps its folder: a run folder belongs to one run, and a rate over two lives is no measurement.
        while place.exists() or (root / f"{place.name}.lock").exists():
            attempt += 1
            place = root / f"{job.number:03d}_try{attempt}_{job.key}"
        console = root / f"{place.name}.console.log"
        held = FileLock(root / f"{place.name}.lock")
        if not held.acquire("job"):
            raise BusyError(f"{held.path} is in use by {held.holder()}", "wait for it to end")
        try:
            done = self._start(job.overrides, place, console, keep=[held.fileno()])
        finally:
            held.release()
        self._hot = job.whole_machine
        status: sweeps.JobStatus = "completed" if done.exit_code == 0 else "failed"
        if done.exit_code in (EXIT_SIGINT, EXIT_SIGTERM):
            status = "interrupted"
        figures = sweeps.figures_of(done.summary)
        row = Row(job.number, job.key, status, done.exit_code, done.seconds, job.shown, place.name, figures)
        with storage(f"cannot create {place}"):
            place.mkdir(exist_ok=True)  # a run that ended before its folder was made
        sweeps.write_status(self.folder, row)
        rate = f", {figures['docs_per_hour']:.1f} docs/h" if figures.get("docs_per_hour") else ""
        why = rate if status == "completed" else f" (exit {done.exit_code}; see {console})"
        _say(f"  #{job.number} {job.shown}: {status}{why} in {done.seconds:.1f} s")
        return row


_open: list[Sweep] = []
"""Of this process, at most one. Hydra calls nothing of ours when a sweep is over (what its callbacks raise it
swallows),
so that the command line closes what the launcher has begun."""


def begin(folder: Path, policy: Policy, words: Sequence[str]) -> Sweep:
    """The sweep of this process, begun."""
    _open.append(Sweep(folder, policy, words))
    return _open[-1]


def finish(error: BaseException | None = None) -> None:
    """Closes the sweep of this process, if one was begun; `error`: what ended it early.

    SweepFailed when jobs failed.
    """
    while _open:
        _open.pop().close(error)


def run(jobs: Sequence[Job], folder: Path, policy: Policy, start: Start, rest: Callable[[float], None]) -> list[Row]:
    """One batch from begin to end."""
    sweep = Sweep(folder, policy, start=start, rest=rest)
    try:
        rows = sweep.run_batch(jobs)
    except BaseException as error:
        sweep.close(error)
        raise
    sweep.close()
    return rows


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
