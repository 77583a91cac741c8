"""The mlx pool from outside: model workers stay under their caps on few very long documents among many short ones, the
answers are those of a run without a bound, and a pool too small for one document says so before the start."""

import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT, Shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="platform: memory is read from /proc")


@dataclass(frozen=True)
class Lane:
    """`layers`: 8 KiB of KV a token each. `pools`: sizes of memory.mlx; `row`: model.max_model_len."""

    layers: int
    long: int
    short: int
    row: int
    pools: tuple[str, ...]
    workers: int
    cache: str


LANES = [
    pytest.param(Lane(2, 3, 8, 1024, ("340MiB",), 1, "32MiB"), id="slice"),
    pytest.param(
        Lane(24, 30, 100, 1024, ("1GiB", "2GiB", "4GiB"), 2, "128MiB"),
        id="all",
        marks=(pytest.mark.torture, pytest.mark.timeout(7200)),
    ),
]


@dataclass
class Watched:
    """Most bytes of each model worker, by pid: sampled, and as the kernel kept it (VmHWM)."""

    sampled: dict[int, int] = field(default_factory=dict)
    kept: dict[int, int] = field(default_factory=dict)

    @property
    def peak(self) -> int:
        return max([*self.sampled.values(), *self.kept.values()])


def status(pid: int) -> dict[str, int]:
    """VmRSS and VmHWM in bytes; empty when the process is gone or a zombie."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}


def model_workers(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
            found += [
                int(child)
                for child in children
                if b"runner.worker\0serve" in Path(f"/proc/{child}/cmdline").read_bytes()
            ]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def watch(pid: int, over: threading.Event, seen: Watched) -> None:
    while not over.wait(0.02):
        for worker in model_workers(pid):
            sample = status(worker)
            if sample:
                seen.sampled[worker] = max(seen.sampled.get(worker, 0), sample["VmRSS"])
                seen.kept[worker] = max(seen.kept.get(worker, 0), sample["VmHWM"])


def make_corpus(folder: Path, lane: Lane) -> None:
    """Long documents stand at random among the short ones; a character is a token of the tiny model."""
    chance = random.Random(5)
    lengths = [lane.row - 100 - chance.randrange(200) for _ in range(lane.long)]
    lengths += [chance.randrange(20, 90) for _ in range(lane.short)]
    chance.shuffle(lengths)
    folder.mkdir()
    for number, length in enumerate(lengths):
        words = " ".join("".join(chance.choices("abcdefghij", k=5)) for _ in range(length // 6 + 1))
        (folder / f"{number:03}.txt").write_text(words[:length])


def words(lane: Lane, model: Path, *more: str) -> list[str]:
    return [
        "+profile=linux_cpu", "input=docs", "model=path", f"model.path={model}", "job=prompt",
        f"model.max_model_len={lane.row}", f"cores.workers={lane.workers}",
        "job.template='{{ document }}'", "job.system_prompt=null", "job.max_tokens=8", "sampling.ignore_eos=true",
        "batching.max_num_seqs=8", "output.reuse=never", "on_busy=wait", f"memory.mlx_cache={lane.cache}", *more,
    ]  # fmt: skip


def run(shell: Shell, given: list[str]) -> tuple[Watched, dict[str, Any], list[dict[str, Any]]]:
    process = shell.start(*given)
    over, seen = threading.Event(), Watched()
    watcher = threading.Thread(target=watch, args=(process.pid, over, seen))
    watcher.start()
    try:
        _, err = process.communicate(timeout=3000)
    finally:
        over.set()
        watcher.join()
        process.kill()
    assert process.returncode == 0, err
    summary = json.loads((shell.folder / "outputs/latest/summary.json").read_text())
    return seen, summary, shell.results()


def answers(results: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    return {line["source"]: (line["status"], line["output"]) for line in results}


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`wide(layers)`: its folder."""
    made: dict[int, Path] = {}

    def make(layers: int) -> Path:
        if layers not in made:
            made[layers] = tmp_path_factory.mktemp(f"wide-{layers}")
            script = Path(__file__).with_name("wide_model.py")
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run(
                [sys.executable, "-P", str(script), str(made[layers]), str(layers)], env=environment, check=True
            )
        return made[layers]

    return make


@pytest.mark.parametrize("lane", LANES)
def test_workers_stay_under_their_caps_and_answer_as_without_them(lane: Lane, wide: Any, shell: Shell) -> None:
    model = wide(lane.layers)
    make_corpus(shell.folder / "docs", lane)
    free, summary, results = run(shell, words(lane, model, "memory.mlx=6GiB"))
    expected = answers(results)
    assert {status for status, _ in expected.values()} == {"ok"}
    assert len(expected) == lane.long + lane.short
    assert len(set(expected.values())) > 0.9 * len(expected), "answers tell of their documents"
    print(f"\n6GiB: peaks {sorted(peak >> 20 for peak in free.kept.values())} MiB, {summary['working_seconds']:.0f} s")
    caps = []
    for pool in lane.pools:
        seen, summary, results = run(shell, words(lane, model, f"memory.mlx={pool}"))
        told = summary["memory"]["mlx"]
        workers = json.loads((shell.folder / "outputs/latest/environment.json").read_text())["workers"]
        caps.append(told["limit"] // workers)
        print(
            f"{pool}: {workers} workers, cap {caps[-1] >> 20} MiB each, peaks "
            f"{sorted(peak >> 20 for peak in seen.kept.values())} MiB, sampled "
            f"{sorted(peak >> 20 for peak in seen.sampled.values())} MiB, {summary['working_seconds']:.0f} s, "
            f"{len(seen.kept)} processes"
        )
        assert seen.peak <= caps[-1]
        assert len(seen.kept) == workers, "no worker was recycled for its memory"
        assert answers(results) == expected
        assert told["peak"] <= told["limit"]
        assert told["peak"] >= 0.9 * max(seen.kept.values()), "the summary knows what was seen from outside"
    assert free.peak > min(caps), "else the caps bound nothing"


def test_a_pool_too_small_for_one_document_says_so_before_the_start(wide: Any, shell: Shell) -> None:
    lane: Lane = LANES[0].values[0]  # type: ignore[assignment]
    make_corpus(shell.folder / "docs", lane)
    done = shell.run(*words(lane, wide(lane.layers), "memory.mlx=250MiB"))
    assert done.returncode == 2
    assert "memory.mlx is 250 MiB" in done.stderr
    assert "for one document" in done.stderr
    assert "memory.mlx=" in done.stderr.split("for one document")[1], "the cure has the size"
    assert shell.runs() == []
