"""A file of very many short records: memory that does not grow with them, and a restart in the middle.

The long lane takes a million (RUNNER_RECORDS for another number) and prints the figures of docs/measurements.md;
times are printed and never asserted. The short one is the same with few records, and its planted bug is a runner that
keeps a KiB of every record.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fault.conftest import LANES
from tests.fault.rig import Rig

MOST_BYTES_A_RECORD = 200
"""What the runner may keep of one answered record: four times what it does keep (docs/measurements.md)."""
SCRIPT = {"output": "hash", "steps": 2}
MakeRig = Callable[..., Rig]


def write_records(path: Path, count: int) -> None:
    with path.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"text": f"Record {number} says something of its own."}) + "\n")


def answered(run: Path) -> int:
    """By the last whole line of metrics.jsonl; 0 before the first."""
    try:
        with (run / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return 0
    whole = [line for line in lines if line.endswith(b"\n") and line.startswith(b"{")]
    return int(json.loads(whole[-1])["ok"]) if whole else 0


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def until_answered(rig: Rig, life: "subprocess.Popen[bytes]", count: int, limit_s: float) -> int:
    """Waits for `count` answers; how many there are then."""
    end = time.monotonic() + limit_s
    while (found := answered(rig.run)) < count:
        assert time.monotonic() < end, f"{found} of {count} answered within {limit_s} s: {rig.tail()}"
        try:
            code = life.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the run ended with {code} at {answered(rig.run)} of {count}: {rig.tail()}")
    return found


def kept_of_a_record(rig: Rig, life: "subprocess.Popen[bytes]", first: int, second: int, limit_s: float) -> float:
    """Bytes by which the runner's peak grew between two numbers of answers, for each answer between them."""
    low = until_answered(rig, life, first, limit_s)
    before = peak_bytes(life.pid)
    high = until_answered(rig, life, second, limit_s)
    return (peak_bytes(life.pid) - before) / (high - low)


def every_record_once(run: Path, count: int) -> str:
    """ "" when results.jsonl has each record as ok, once, with an answer; else what is wrong."""
    seen = bytearray(count)
    with (run / "results.jsonl").open() as file:
        for line in file:
            row: dict[str, Any] = json.loads(line)
            number = int(row["source"].rpartition("#")[2]) - 1
            if row["status"] != "ok" or not row["output"]:
                return f"{row['source']}: {row['status']} {row['reason']}"
            seen[number] += 1
    return "" if seen == b"\1" * count else f"{seen.count(0)} absent, {sum(n > 1 for n in seen)} more than once"


@LANES
def test_many_records_leave_little_in_memory_and_survive_a_kill(make_rig: MakeRig, long: bool) -> None:
    count = int(os.environ.get("RUNNER_RECORDS", "1000000")) if long else 3000
    limit_s = 3600.0 if long else 60.0
    # Few records are answered slowly, or the run would be over before it is killed.
    rig = make_rig(0, script=SCRIPT if long else {**SCRIPT, "delay_ms_per_step": 10}, max_num_seqs=32)
    write_records(rig.inputs / "records.jsonl", count)
    started = time.monotonic()
    life = rig.start()
    kept = kept_of_a_record(rig, life, count // 10, count // 2, limit_s)
    peak = peak_bytes(life.pid)
    before = answered(rig.run)
    os.killpg(life.pid, signal.SIGKILL)
    life.wait()
    first_s = time.monotonic() - started
    started = time.monotonic()
    life = rig.start()
    until_answered(rig, life, before + 1, limit_s)
    restart_s = time.monotonic() - started
    restarted = peak_bytes(life.pid)
    assert life.wait(limit_s) == 0, rig.tail()
    rest_s = time.monotonic() - started
    summary = json.loads((rig.run / "summary.json").read_text())
    print(
        f"{count} records: {kept:.0f} bytes a record, peak {peak >> 20} MiB at {before}; killed after {first_s:.1f} s; "
        f"first new answer {restart_s:.2f} s after the restart (peak {restarted >> 20} MiB); rest {rest_s:.1f} s; "
        f"peaks {summary['peak_rss_bytes']}; journal {(rig.run / 'journal').stat().st_size >> 20} MiB"
    )
    assert every_record_once(rig.run, count) == ""
    if long:
        # Over few records the allocator's own steps are larger than what is kept.
        assert kept <= MOST_BYTES_A_RECORD


def test_a_runner_that_keeps_every_record_is_seen(make_rig: MakeRig) -> None:
    rig = make_rig(0, script=SCRIPT, max_num_seqs=32, plant="keep_records")
    write_records(rig.inputs / "records.jsonl", 8_000)
    life = rig.start()
    assert kept_of_a_record(rig, life, 1_000, 7_000, 60) > MOST_BYTES_A_RECORD
