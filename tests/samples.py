"""Samples for tests of what looks at them: everything quiet, but for what a test names."""

from typing import Any

from runner import metrics
from runner.metrics import Sample

_QUIET = metrics.Sample.from_line(f'{{"version": {metrics.METRICS_VERSION}}}')


def make_sample(**values: Any) -> Sample:
    """A sample in which everything else is 0, or null where that is allowed."""
    from dataclasses import replace

    assert _QUIET is not None
    return replace(_QUIET, **values)
