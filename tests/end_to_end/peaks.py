"""Memory that a run may take, read from its summary. Used by the tests that feed a run files made to hurt."""

from typing import Any

RUNNER_MOST = 512 << 20
"""Bytes of the runner whatever the files hold; each extract worker has its limit and what it begins with on top."""
WORKER_BEGINS = 128 << 20


def too_large(summary: dict[str, Any], worker_bytes: int) -> list[str]:
    """Processes that took more than they may; `worker_bytes` is `ingest.isolation.memory_bytes`."""
    wrong = []
    for name, peak in summary["peak_rss_bytes"].items():
        most = RUNNER_MOST if name == "runner" else worker_bytes + WORKER_BEGINS
        if peak > most:
            wrong.append(f"{name}: {peak >> 20} MiB over {most >> 20} MiB")
    return wrong


def shown(summary: dict[str, Any]) -> str:
    """The peaks in words; of workers that were started anew, the largest of each kind."""
    kinds: dict[str, int] = {}
    for name, peak in summary["peak_rss_bytes"].items():
        kind = name.rstrip("0123456789 ")
        kinds[kind] = max(kinds.get(kind, 0), peak)
    return ", ".join(f"{kind} {peak >> 20} MiB" for kind, peak in kinds.items())
