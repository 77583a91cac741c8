"""Run and sweep folders of any size, made without a run: the files that a report is drawn from, with texts that one
chooses."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.layout import RunFolder

GIB = 2**30
_ATTACK = (
    '"><script>window.ran=1;document.title="owned"</script><img src=x onerror=window.ran=1></textarea></style></svg>'
    " \x1b[31mred\x1b[0m \u202eexe.txt\u202c \u2028 \x00 &lt; {{7*7}} ${x} =1+1 " + "\u0300" * 300
)
HOSTILE = {"source": _ATTACK + "long" * 300, "output": _ATTACK + "x" * 1_000_000, "reason": _ATTACK + "y" * 5000}
"""What a document may hold to break a page, a terminal or a table."""

STATUSES = ("ok", "ok", "ok", "ok", "ok", "ok", "ok", "failed", "quarantined", "skipped")


def result(number: int, draw: random.Random, texts: Mapping[str, str]) -> dict[str, Any]:
    """A line of results.jsonl; `texts`: source, output, reason of all lines that have one."""
    status = STATUSES[number % len(STATUSES)]
    tokens_in, tokens_out = draw.randint(100, 900), draw.randint(1, 64)
    output = texts.get("output", f"The answer to document {number}.") if status != "skipped" else None
    part = {
        "work_id": f"{number:064x}",
        "span": [0, 900],
        "places": None,
        "output": output,
        "finish_reason": "stop",
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
    }
    reason = {"ok": "", "failed": f"schema: {number} is no date", "skipped": "unsupported type: png"}
    return {
        "input_id": f"{number:016x}",
        "source": texts.get("source", "/documents/") + f"{number}.txt",
        "doc_id": f"{number:064x}",
        "status": status,
        "reason": "" if status == "ok" else texts.get("reason", reason.get(status, "worker: died 3 times")),
        "output": output,
        "parts": [] if status == "skipped" else [part],
        "attempts": 3 if status == "quarantined" else 1,
        "duplicate_of": f"{1:016x}" if number % 50 == 40 else None,
        "reused_from": None,
        "coverage": {"text_bytes": 1000, "covered_bytes": 900 if number % 7 == 0 else 1000},
        "timings": {
            "queued_ms": draw.uniform(0, 9000),
            "prefill_ms": draw.uniform(50, 900),
            "decode_ms": tokens_out * 50.0,
        },
        "reader": None,
        "unread": None,
    }


def sample(second: int, share: float, documents: int) -> dict[str, Any]:
    """A line of metrics.jsonl."""
    done = int(documents * share)
    rss = {"runner": 90 << 20, "worker 0": int((0.6 + share) * GIB)}
    return {
        "version": 1,
        "unix_ms": 1_795_000_000_000 + 1000 * second,
        "elapsed_s": float(second),
        "inputs": documents,
        "ok": done * 7 // 10,
        "failed": done // 10,
        "skipped": done // 10,
        "quarantined": done // 10,
        "pages_read": 0,
        "reused": 0,
        "pending_requests": documents - done,
        "leased": 8,
        "prompt_tokens_done": done * 400,
        "prompt_tokens_known": documents * 400,
        "generated_tokens": done * 30,
        "attempts_charged": 0,
        "discovery_done": 1,
        "prompt_tokens_per_s": 400.0 + second % 90,
        "generated_tokens_per_s": 40.0 + second % 17,
        "rust_bytes": 30 << 20,
        "ipc_bytes": 2 << 20,
        "workers_rss_bytes": rss["worker 0"],
        "runner_rss_bytes": rss["runner"],
        "available_bytes": 12 * GIB,
        "engine_bytes": GIB,
        "kv_bytes": 1 << 20,
        "extract_s": 2.5,
        "prepare_s": 1.0,
        "wasted_tokens": done,
        "repairs": None,
        "runner_cpu_s": second * 0.02,
        "workers_cpu_s": second * 1.9,
        "processes": [
            {"name": name, "pid": 100 + place, "rss_bytes": size, "cpu_s": second * (0.02, 1.9)[place]}
            for place, (name, size) in enumerate(rss.items())
        ],
    }


def events(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Lines of log.jsonl."""
    at = "2026-11-23T22:59:{:02}.000000Z"
    return [
        {"event": "run.opened", "level": "info", "timestamp": at.format(0)},
        {
            "event": "setting.applied",
            "level": "debug",
            "timestamp": at.format(1),
            "step": "OMP_NUM_THREADS",
            "scope": "process",
            "state": "applied",
            "value": "1",
            "detail": texts.get("reason", ""),
        },
        {"event": "worker.became_ready", "level": "info", "timestamp": at.format(3), "worker": 0, "seconds": 2.9},
        {
            "event": "setting.applied",
            "level": "debug",
            "timestamp": at.format(3),
            "worker": 0,
            "placement": "pinned",
            "blas": texts.get("source", "openblas"),
            "kernels": "on",
            "device": "Device(cpu, 0)",
            "weights_bytes": GIB,
            "load_seconds": 2.5,
        },
        {
            "event": "worker.died",
            "level": "warning",
            "timestamp": at.format(9),
            "worker": 0,
            "last_words": texts.get("output", "out of memory"),
        },
    ]


def identity(foreign: str) -> dict[str, Any]:
    """run.json."""
    return {
        "schema_version": 1, "run_id": "abc123", "status": "finished", "exit_code": 3, "job": "summarize",
        "profile": "linux_cpu", "model": f"smollm2-135m{foreign}", "argv": ["runner"],
        "inputs": [f"/documents{foreign}"], "started_at": "2026-11-23T22:59:47+0000",
        "ended_at": "2026-11-23T23:09:47+0000", "incarnation": 1, "pid": 1, "boot_id": "b", "runner_version": "0.1.0",
        "cwd": f"/documents/here{foreign}", "problem": "",
        "overrides": ["+profile=linux_cpu", "job=summarize", f"input='/documents{foreign}'"],
    }  # fmt: skip


def environment(foreign: str) -> dict[str, Any]:
    """environment.json."""
    fitted = {"key": "memory.total", "was": "128GiB", "now": "20GiB", "why": f"this machine has 20 GiB{foreign}"}
    return {
        "version": 1, "os": "linux", "arch": "x86_64", "chip": f"AMD EPYC{foreign}", "kernel": "6.1",
        "python": "3.11.7", "memory_bytes": 20 * GIB, "memory_limit": "physical memory", "physical_cores": 2,
        "workers": 1, "threads_per_worker": 1,
        "pools": {"rust_bytes": 8 * GIB, "mlx_bytes": 9 * GIB, "ipc_bytes": GIB, "system_bytes": 2 * GIB},
        "profile": {"names": ["linux_cpu"], "chosen_by": "user", "reason": foreign, "fitted": [fitted]},
        "model": {
            "name": f"smollm2{foreign}", "weights_hash": "0" * 64, "tokenizer_hash": "1" * 64, "bytes": GIB,
            "max_position_embeddings": 8192,
        },
    }  # fmt: skip


def summary(documents: int, working: float) -> dict[str, Any]:
    """summary.json."""
    counts = {name: sum(STATUSES[n % 10] == name for n in range(documents)) for name in set(STATUSES)}
    pace = {
        "prefill_s": working * 0.6, "decode_s": working * 0.3, "prefill_tokens": 1e5, "decode_tokens": 1e4,
        "setting": {"mlx": "0.32.4", "mlx-lm": "0.32.2", "max_num_seqs": 8},
    }  # fmt: skip
    return {
        "version": 1, "job": "summarize", "inputs": documents, **counts, "reused": 0, "open": 0,
        "prompt_tokens": 400 * documents, "generated_tokens": 30 * documents, "seconds": working + 4,
        "profile": "linux_cpu", "working_seconds": working, "docs_per_hour": round(3600 * counts["ok"] / working, 1),
        "conditions": "(400 tokens in, 30 out), smollm2-135m, precision as is, max_num_seqs 8 x 1 worker, AMD EPYC",
        "peak_rss_bytes": {"runner": 90 << 20, "worker 0": int(1.6 * GIB)}, "core": {"duplicates": documents // 50},
        "pace": pace,
    }  # fmt: skip


def write_run(root: Path, documents: int, texts: Mapping[str, str] | None = None, seconds: int = 120) -> RunFolder:
    """A finished run of so many documents. `texts`: what stands in every source, output and reason."""
    texts, draw, run = texts or {}, random.Random(1), RunFolder(root)
    run.config.mkdir(parents=True)
    foreign = texts.get("source", "")
    run.run_json.write_text(json.dumps(identity(foreign)))
    run.environment.write_text(json.dumps(environment(foreign)))
    run.summary.write_text(json.dumps(summary(documents, float(seconds))))
    (run.config / "config.yaml").write_text(f"model:\n  name: smollm2\n# {foreign}\n")
    with run.results.open("w") as lines:
        for number in range(documents):
            lines.write(json.dumps(result(number, draw, texts)) + "\n")
    with run.metrics.open("w") as lines:
        for second in range(seconds + 1):
            lines.write(json.dumps(sample(second, second / seconds, documents)) + "\n")
    run.log.write_text("".join(json.dumps(event) + "\n" for event in events(texts)))
    return run


BATCHING = {
    "prefill_batch_size": 3, "prefill_step_size": 512, "share_prefix": True, "max_num_batched_tokens": None,
    "order": "input",
}  # fmt: skip


def write_sweep(root: Path, jobs: int = 12, planted: tuple[int, ...] = (3, 7), text: str = "") -> Path:
    """A sweep of so many jobs, the planted ones failed; `text` stands in a value and in an error."""
    root.mkdir(parents=True)
    listed = []
    for number in range(jobs):
        key = f"{number:012x}"
        rows, threads = (4, 8, 16)[number % 3], (1, 2)[number // 3 % 2]
        words = [
            "+profile=linux_cpu", "job=summarize", f"batching.max_num_seqs={rows}",
            f"cores.threads_per_worker={threads}", f"job.max_tokens={16 if number < jobs // 2 else 32}",
            f"input='/documents{text}'", "output.dir=out",
        ]  # fmt: skip
        listed.append({"number": number, "overrides": words, "shown": " ".join(words[2:5]), "key": key})
        place = root / f"{number:03d}_{key}"
        place.mkdir()
        failed = number in planted
        status = {
            "version": 1, "job": number, "key": key, "status": "failed" if failed else "completed",
            "exit_code": 1 if failed else 0, "seconds": 20.0 + number, "overrides": "", "folder": place.name,
        }  # fmt: skip
        (place / "status.json").write_text(json.dumps(status))
        console = f"summarize\nerror: worker 0 could not start{text}\n  hint: see above\n" if failed else "done\n"
        (root / f"{place.name}.console.log").write_text(console)
        if not failed:
            _write_job(RunFolder(place), rows, 1000.0 + 90 * rows - 200 * threads - number, number % 4)
    (root / "preflight.json").write_text(json.dumps(listed))
    (root / "sweep.json").write_text("{}")
    return root


def _write_job(run: RunFolder, rows: int, rate: float, failed: int) -> None:
    run.config.mkdir()
    (run.config / "config.yaml").write_text(json.dumps({"batching": {"max_num_seqs": rows, **BATCHING}}))
    figures = {
        "version": 1, "profile": "linux_cpu", "ok": 50 - failed, "failed": failed, "quarantined": 0,
        "docs_per_hour": rate, "generated_tokens": 3000, "working_seconds": 60.0,
        "conditions": f"(400 tokens in, 30 out), smollm2-135m, max_num_seqs {rows} x 1 worker, AMD EPYC",
        "peak_rss_bytes": {"runner": 90 << 20, "worker 0": int((1 + rows / 16) * GIB)},
    }  # fmt: skip
    run.summary.write_text(json.dumps(figures))
