"""Supervision against real processes (python -c) and a core that only writes down what it is told."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import log
from runner.config.worker_spec import WorkerSpec
from runner.errors import RunFailed
from runner.supervise import Policy, State, Supervisor, exit_text, worker_environment

READY = 'import sys; sys.stdin.readline(); print(\'{"event":"ready","blas":"x"}\', flush=True); '


class BookCore:
    """Hands out pipes as if they were channels, and keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int, str]] = []
        self.incarnation = 0

    def attach(self, worker: int) -> dict[str, Any]:
        self.incarnation += 1
        first, second = os.pipe()
        return {
            "incarnation": self.incarnation,
            "channel_fd": first,
            "control_fd": second,
            "document_fds": [os.dup(first)],
        }

    def ready(self, worker: int) -> None:
        self.said.append(("ready", worker, ""))

    def died(self, worker: int, cause: str, charged: bool = True) -> dict[str, int]:
        assert charged == (cause not in ("drained", "recycled"))
        self.said.append(("died", worker, cause))
        return {"requeued": 0, "quarantined": 0}


def make_spec(worker: int, attachment: Any) -> WorkerSpec:
    return WorkerSpec(
        kind="scripted", worker=worker, incarnation=attachment["incarnation"], channel_fd=attachment["channel_fd"],
        control_fd=attachment["control_fd"], document_fds=tuple(attachment["document_fds"]), spin_us=0, model_path="",
        max_num_seqs=1, prefill_batch_size=1, prefill_step_size=1, max_model_len=1, temperature=0.0, top_p=1.0, top_k=0,
        min_p=0.0, seed=0, ignore_eos=False, thinking_tokens=0, share_prefix=True, output_schema=None,
        grammar=None, evidence=False,
        schema_repair=False, keep_whole_items=False, answer_prefix="", cpus=(), threads=1, cache_limit_bytes=0,
        memory_limit_bytes=0, wired="off", recycle_documents=0, recycle_bytes=0, blas="none", kernels="off",
        script=None,
    )  # fmt: skip


def supervisor(core: BookCore, code: str, tmp_path: Path, workers: int = 1, **bounds: float) -> Supervisor:
    log.configure("error")
    policy = Policy(
        start_timeout_s=bounds.get("start_timeout_s", 20),
        grace_s=bounds.get("grace_s", 5),
        backoff_first_s=0.0,
        backoff_max_s=0.0,
        max_restarts=int(bounds.get("max_restarts", 2)),
    )
    return Supervisor(
        core,
        workers,
        make_spec,
        lambda worker: worker_environment(os.environ, {}, tmp_path),
        policy,
        command=(sys.executable, "-c", code),
    )


def turn(supervised: Supervisor, until: Callable[[], bool], progress: int = 0) -> None:
    pause = threading.Event()
    for _ in range(2000):
        supervised.poll(progress)
        if until():
            return
        pause.wait(0.01)
    raise AssertionError("the awaited state did not come within 20 s")


def test_a_worker_that_says_ready_is_told_to_the_core_and_stopped_cleanly(tmp_path: Path) -> None:
    core = BookCore()
    supervised = supervisor(core, READY + "import signal; signal.pause()", tmp_path)
    turn(supervised, lambda: supervised.views()[0].state is State.SERVING)
    supervised.stop(10)
    assert core.said == [("ready", 0, ""), ("died", 0, "drained")]
    assert supervised.views()[0].state is State.GONE


def test_a_killed_worker_is_reported_with_its_signal_and_started_again(tmp_path: Path) -> None:
    core = BookCore()
    supervised = supervisor(core, READY + "import signal; signal.pause()", tmp_path)
    turn(supervised, lambda: supervised.views()[0].state is State.SERVING)
    pid = supervised.views()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    turn(supervised, lambda: core.incarnation == 2 and supervised.views()[0].state is State.SERVING)
    assert ("died", 0, "worker died: signal 9 (SIGKILL)") in core.said
    supervised.stop(10)


def test_deaths_without_progress_end_the_run_and_show_the_last_lines(tmp_path: Path) -> None:
    core = BookCore()
    supervised = supervisor(core, "import sys; print('no such weights', file=sys.stderr); sys.exit(7)", tmp_path)
    with pytest.raises(RunFailed, match=r"3 times in a row \(exit status 7 while starting\)[\s\S]*no such weights"):
        turn(supervised, lambda: False)
    assert len([entry for entry in core.said if entry[0] == "died"]) == 3


def test_an_error_that_the_worker_explains_before_it_is_ready_ends_the_run_at_once(tmp_path: Path) -> None:
    core = BookCore()
    line = '{"event":"error","problem":"weights need 9 GiB, the pool has 2","cure":"choose a smaller model"}'
    supervised = supervisor(core, f"import sys; print({line!r}, flush=True); sys.exit(1)", tmp_path)
    with pytest.raises(RunFailed, match="weights need 9 GiB") as caught:
        turn(supervised, lambda: False)
    assert caught.value.cure == "choose a smaller model"


def test_deaths_with_progress_in_between_never_end_the_run(tmp_path: Path) -> None:
    core = BookCore()
    supervised = supervisor(core, READY + "import os; os.abort()", tmp_path)
    for progress in range(6):
        turn(supervised, lambda want=progress + 1: len([e for e in core.said if e[0] == "died"]) >= want, progress)
    supervised.stop(10)


def test_a_hung_worker_gets_sigterm_and_then_sigkill_and_the_deadline_is_its_cause(tmp_path: Path) -> None:
    core = BookCore()
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "signal.pause(); signal.pause()"
    supervised = supervisor(core, deaf, tmp_path, grace_s=0.05)
    turn(supervised, lambda: supervised.views()[0].state is State.SERVING)
    supervised.expired(0, "ab" * 32, 1234)
    turn(supervised, lambda: any(entry[0] == "died" for entry in core.said))
    assert core.said[1] == ("died", 0, "deadline 1234 ms")
    supervised.stop(0.05)


def test_a_recycling_worker_is_replaced_without_being_called_dead(tmp_path: Path) -> None:
    core = BookCore()
    supervised = supervisor(core, READY + "sys.exit(0)", tmp_path)
    for progress in range(5):
        turn(supervised, lambda want=progress + 1: core.said.count(("died", 0, "recycled")) >= want, progress)
    supervised.stop(10)


def test_recycling_again_and_again_without_progress_is_bounded(tmp_path: Path) -> None:
    supervised = supervisor(BookCore(), READY + "sys.exit(0)", tmp_path)
    with pytest.raises(RunFailed, match="exit status 0"):
        turn(supervised, lambda: False)


def test_a_worker_that_never_gets_ready_is_stopped_after_the_start_timeout(tmp_path: Path) -> None:
    core = BookCore()
    supervised = supervisor(core, "import signal; signal.pause()", tmp_path, start_timeout_s=0.1, max_restarts=0)
    with pytest.raises(RunFailed):
        turn(supervised, lambda: False)
    assert core.said == [("died", 0, "not ready after 0.1 s")]


def test_a_flood_on_stderr_does_not_block_the_end(tmp_path: Path) -> None:
    core = BookCore()
    flood = "[print('x' * 100, file=sys.stderr) for _ in range(20000)]; import os; os._exit(3)"
    supervised = supervisor(core, READY + flood, tmp_path)
    turn(supervised, lambda: any(entry[0] == "died" for entry in core.said))
    assert core.said[-1] == ("died", 0, "worker died: exit status 3")
    supervised.stop(10)


def test_no_descriptor_is_left_behind_after_many_incarnations(tmp_path: Path) -> None:
    core = BookCore()
    supervised = supervisor(core, READY + "sys.exit(0)", tmp_path)
    turn(supervised, lambda: core.incarnation >= 2)
    before = len(list(Path("/dev/fd").iterdir()))
    for progress in range(1, 6):
        turn(supervised, lambda want=progress + 2: core.incarnation >= want, progress)
    supervised.stop(10)
    assert len(list(Path("/dev/fd").iterdir())) <= before + 3


def test_a_workers_environment_holds_no_secret_of_the_user(tmp_path: Path) -> None:
    environment = worker_environment(
        {"PATH": "/bin", "HF_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "s"}, {"OMP_NUM_THREADS": "1"}, tmp_path
    )
    assert "secret" not in str(environment).lower()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["TMPDIR"] == str(tmp_path)
    assert (Path(environment["PYTHONPATH"]) / "runner" / "worker").is_dir()


def test_exit_texts_name_signals() -> None:
    assert exit_text(-11) == "signal 11 (SIGSEGV)"
    assert exit_text(1) == "exit status 1"
