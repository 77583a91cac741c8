"""Two runs side by side: configuration, environment, results document by document, speed.

Pure but for reading the two folders. It does not judge: one run beside one other is no measurement of speed, and what
it prints says so. Called by the diff command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runner.errors import UsageError
from runner.layout import RunFolder
from runner.store.files import read_json, storage

_PASSING: Final = frozenset({"boot_id"})
"""Of the environment: says nothing of the machine."""


@dataclass(frozen=True, slots=True)
class Results:
    """Sources by what became of them. `changed`: ok in both, with another answer; `ended_otherwise`: (source, A, B)."""

    same: int
    changed: list[str]
    ended_otherwise: list[tuple[str, str, str]]
    only_a: list[str]
    only_b: list[str]

    @property
    def differ(self) -> bool:
        """Whether any document ended otherwise or says something else."""
        return bool(self.changed or self.ended_otherwise or self.only_a or self.only_b)


def config(a: RunFolder, b: RunFolder) -> dict[str, tuple[Any, Any]]:
    """Keys whose value differs, as composed; None where one has no such key."""
    found = _different(_config(a), _config(b))
    return {key: values for key, values in found.items() if key != "output.run_dir"}  # each has its own


def _config(run: RunFolder) -> dict[str, Any]:
    import yaml

    path = run.config / "config.yaml"
    with storage(f"cannot read {path}"):
        text = path.read_text(encoding="utf-8")
    try:
        return _flat(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}", "the file was changed") from error


def environment(a: RunFolder, b: RunFolder) -> dict[str, tuple[Any, Any]]:
    """Facts of machine, model and workers that differ."""
    found = _different(_flat(read_json(a.environment)), _flat(read_json(b.environment)))
    return {key: values for key, values in found.items() if key not in _PASSING}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    out: dict[str, Any] = {}
    for key, each in value.items():
        out |= _flat(each, f"{prefix}.{key}" if prefix else str(key))
    return out


def _different(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in sorted({*a, *b}) if a.get(key) != b.get(key)}


def results(a: RunFolder, b: RunFolder) -> Results:
    """Document by document, matched by source; the n-th of a source that comes several times with the n-th."""
    left, right = _results(a), _results(b)
    found = Results(0, [], [], sorted(key[0] for key in left.keys() - right.keys()),
                    sorted(key[0] for key in right.keys() - left.keys()))  # fmt: skip
    same = 0
    for key in sorted(left.keys() & right.keys()):
        (status_a, said_a), (status_b, said_b) = left[key], right[key]
        if status_a != status_b:
            found.ended_otherwise.append((key[0], status_a, status_b))
        elif said_a != said_b:
            found.changed.append(key[0])
        else:
            same += 1
    return Results(same, found.changed, found.ended_otherwise, found.only_a, found.only_b)


def _results(run: RunFolder) -> dict[tuple[str, int], tuple[str, int]]:
    """(source, how many times before) -> (status, hash of the answer): answers of a large run do not fit in memory."""
    found: dict[tuple[str, int], tuple[str, int]] = {}
    times: dict[str, int] = {}
    if not run.results.is_file():
        return found
    with storage(f"cannot read {run.results}"), run.results.open("rb") as lines:
        for number, line in enumerate(lines):
            if not line.endswith(b"\n"):
                break
            try:
                result = json.loads(line)
                source, said = result["source"], (result["output"], [part["output"] for part in result["parts"]])
                status = result["status"]
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(f"{run.results} line {number + 1} is no result", "restore the file") from error
            place = times.get(source, 0)
            times[source] = place + 1
            found[source, place] = (status, hash(json.dumps(said)))
    return found


def speed(a: RunFolder, b: RunFolder) -> dict[str, tuple[float, float, float]]:
    """Figures of both summaries and B / A; empty when one has none. `tokens_per_s` is prompt and answer together."""
    if not (a.summary.is_file() and b.summary.is_file()):
        return {}
    left, right = read_json(a.summary), read_json(b.summary)
    found = {}
    for name in ("docs_per_hour", "tokens_per_s", "working_seconds", "seconds", "peak_rss_bytes"):
        one, other = _figure(left, name), _figure(right, name)
        if one and other:
            found[name] = (one, other, other / one)
    return found


def _figure(summary: Mapping[str, Any], name: str) -> float:
    if name == "tokens_per_s":
        seconds = float(summary.get("working_seconds") or 0)
        tokens = float(summary.get("prompt_tokens") or 0) + float(summary.get("generated_tokens") or 0)
        return tokens / seconds if seconds else 0.0
    value = summary.get(name) or 0
    return float(sum(value.values()) if isinstance(value, dict) else value)
