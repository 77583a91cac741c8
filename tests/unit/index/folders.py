"""Run folders as a runner leaves them, made without one: for the index and the commands that read it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IDENTITY: dict[str, Any] = {
    "schema_version": 1, "status": "finished", "exit_code": 0, "job": "summarize", "profile": "p", "model": "m",
    "argv": [], "inputs": ["/in"], "ended_at": "2026-11-23T10:10:00+0000", "incarnation": 1, "pid": 1, "boot_id": "b",
    "runner_version": "0.1.0", "cwd": "/", "overrides": [], "problem": "",
}  # fmt: skip


def result(number: int, **changes: Any) -> dict[str, Any]:
    line = {
        "input_id": f"{number:016x}", "source": f"/in/{number}.txt", "doc_id": "d" * 64, "status": "ok", "reason": "",
        "output": f"answer {number}", "attempts": 1, "duplicate_of": None, "reused_from": None,
        "parts": [
            {"work_id": "w", "span": [0, 9], "output": f"answer {number}", "finish_reason": "stop", "tokens_in": 100,
             "tokens_out": 10, "places": None}
        ],
        "coverage": {"text_bytes": 9, "covered_bytes": 9},
        "timings": {"queued_ms": 1.0, "prefill_ms": 2.0, "decode_ms": 3.0}, "reader": None, "unread": None,
    }  # fmt: skip
    return {**line, **changes}


def make_run(
    outputs: Path, number: int, results: Sequence[dict[str, Any]] = (), day: str = "2026-11-23", **identity: Any
) -> Path:
    """Run `number` of a day; returns its folder."""
    root = outputs / "runs" / day / f"10-{number // 60:02d}-{number % 60:02d}_summarize_p_{number:06x}"
    (root / "config").mkdir(parents=True)
    started = f"{day}T10:{number // 60:02d}:{number % 60:02d}+0000"
    known = {**IDENTITY, "run_id": f"{number:06x}", "started_at": started, **identity}
    (root / "run.json").write_text(json.dumps(known))
    (root / "config/config.yaml").write_text(f"job:\n  max_tokens: {number}\nmodel:\n  name: m\n")
    (root / "environment.json").write_text(
        json.dumps({"version": 1, "chip": "c", "workers": 2, "boot_id": str(number)})
    )
    ok = sum(line["status"] == "ok" for line in results)
    summary = {
        "inputs": len(results), "ok": ok, "failed": len(results) - ok, "skipped": 0, "quarantined": 0, "reused": 0,
        "docs_per_hour": 100.0 * number, "conditions": "(100 tokens in)", "seconds": 10.0, "working_seconds": 9.0,
        "prompt_tokens": 1000, "generated_tokens": 100, "peak_rss_bytes": {"runner": 5, "worker 0": 7},
    }  # fmt: skip
    (root / "summary.json").write_text(json.dumps(summary))
    (root / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in results))
    (root / "metrics.jsonl").write_text('{"v": 1, "seconds": 1.5, "ok": 3}\n')
    return root
