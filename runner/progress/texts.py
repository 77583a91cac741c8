"""Words for people: durations, bytes, counts. Pure. Called by progress and by everything that prints a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from runner.metrics import Sample


def duration_text(seconds: float) -> str:
    """Two units at most: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def bytes_text(count: int) -> str:
    """MiB below 1 GiB, else GiB with one digit."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def ends_text(sample: Sample) -> str:
    """How inputs ended that are not simply ok; only what is not zero."""
    ends = (
        ("failed", sample.failed),
        ("skipped", sample.skipped),
        ("quarantined", sample.quarantined),
        ("reused", sample.reused),
    )
    return ", ".join(f"{count:,} {name}" for name, count in ends if count)


def documents_text(sample: Sample) -> str:
    """How many of how many, and how they ended."""
    known = f"{sample.inputs:,}" if sample.discovery_done else f"{sample.inputs:,}+"
    ends = ends_text(sample)
    text = f"{sample.done:,} of {known} documents" + (f" ({ends})" if ends else "")
    # A file of thousands of pages is one document for minutes: its pages show that it moves.
    return text + (f", {sample.pages_read:,} pages read" if sample.pages_read else "")


def tokens_text(sample: Sample) -> str:
    """Rates over the last samples."""
    return f"{sample.prompt_tokens_per_s:,.0f} prompt + {sample.generated_tokens_per_s:,.0f} generated tokens/s"


def pools_text(sample: Sample) -> str:
    """Memory by pool; the model's pool is what the workers hold resident."""
    pools: Mapping[str, int] = {
        "rust": sample.rust_bytes,
        "ipc": sample.ipc_bytes,
        "workers": sample.workers_rss_bytes,
        "free": sample.available_bytes,
    }
    return ", ".join(f"{name} {bytes_text(count)}" for name, count in pools.items())


def workers_text(states: Sequence[str]) -> str:
    """ "2 serving, 1 starting"."""
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items())) or "none"
