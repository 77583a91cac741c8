"""How long a run will take, from amounts and from how fast earlier runs were. A simple model, stated where it is shown:

    seconds = (prefill tokens x a + answer tokens x b) / (workers x busy share) + start

a and b are seconds of one worker for a token, summed over the runs that match; the busy share is what of their time
their workers computed. The interval is what those runs were off by, each foretold from the others; with fewer than
three runs, what their windows of some seconds were off by. Nothing is assumed that was not observed. Pure. Called by
the plan command.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runner.predict.estimate import Amount
from runner.predict.pace import Answers, Measured, Window

ENOUGH_RUNS: Final = 3
MOST_RUNS: Final = 8
"""Newest matching runs that count: a machine ages."""

ENOUGH_WINDOWS: Final = 5
Z90: Final = 1.645

LEAST_SHARED: Final = 24
"""A prefix shorter than this is not shared by the engine."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be computed."""

    documents: Amount
    requests: Amount
    prompt_tokens: Amount
    shared_tokens: int
    """Tokens that all prompts begin with: computed once."""
    max_tokens: int
    chunks: Sequence[tuple[float, float]]
    """Chunks of a document and how many documents have as many; only of those that are reduced."""
    window: int
    """Tokens that one prompt may have."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The matching runs, summed up."""

    prefill_s: float
    """Of one worker for one token."""
    decode_s: float
    busy: float
    start_s: float
    low: float | None
    """Best and worst actual time as a share of the foretold one; None where too little was observed."""
    high: float | None
    runs: Sequence[Measured]
    off_by_runs: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """`answers` is None when nothing is known of their length: then `seconds.value` is an upper bound."""

    seconds: Amount
    has_interval: bool
    documents_per_hour: Amount
    pace: Pace
    answers: Answers | None
    answer_tokens: Amount
    reduce_requests: float

    def to_json(self) -> dict[str, Any]:
        """For `plan --json`."""
        return {
            "seconds": self.seconds.to_json() if self.has_interval else {"value": round(self.seconds.value)},
            "documents_per_hour": self.documents_per_hour.to_json()
            if self.has_interval
            else {"value": round(self.documents_per_hour.value)},
            "upper_bound": self.answers is None,
            "answer_tokens": self.answer_tokens.to_json(),
            "reduce_requests": round(self.reduce_requests),
            "prefill_tokens_per_s": round(1 / self.pace.prefill_s, 1) if self.pace.prefill_s else None,
            "decode_tokens_per_s": round(1 / self.pace.decode_s, 1),
            "busy_share": round(self.pace.busy, 3),
            "start_seconds": round(self.pace.start_s, 1),
            "from": [run.source for run in self.pace.runs],
        }


def matching(measured: Sequence[Measured], setting: Mapping[str, Any]) -> list[Measured]:
    """Those that ran as this one would: same machine, versions, model, workers and batch."""
    return [run for run in measured if run.setting == setting]


def differences(run: Measured, setting: Mapping[str, Any]) -> list[str]:
    """In what an earlier run was other: "max_num_seqs 4 instead of 8"."""
    keys = sorted({*run.setting, *setting})
    return [
        f"{key} {run.setting.get(key)} instead of {setting.get(key)}"
        for key in keys
        if run.setting.get(key) != setting.get(key)
    ]


def pace_of(runs: Sequence[Measured]) -> Pace:
    """Sums of at least one run, and the spread between them or inside them."""
    prefill_s, decode_s, busy = _sums(runs)
    low: float | None = None
    high: float | None = None
    ratios = []
    if len(runs) >= ENOUGH_RUNS:
        for run in runs:
            others = _sums([other for other in runs if other is not run])
            ratios.append(run.working_s / _working_s(run.total, run.workers, others))
        low, high = min(ratios), max(ratios)
    else:
        windows = [window for run in runs for window in run.windows]
        if len(windows) >= ENOUGH_WINDOWS:
            ratios = sorted(_ratio(window, prefill_s, decode_s, busy) for window in windows)
            low, high = _at(ratios, 0.1), _at(ratios, 0.9)
    return Pace(
        prefill_s, decode_s, busy, _mean([run.start_s for run in runs]), low, high, runs, len(runs) >= ENOUGH_RUNS
    )


def forecast(load: Load, runs: Sequence[Measured], answers: Answers | None, workers: int) -> Forecast:
    """Time of `load` at the pace of `runs` (at least one)."""
    pace = pace_of(runs)
    each = _answer_tokens(load, answers)
    cases = []
    for name in ("low", "value", "high"):
        requests, prompts = getattr(load.requests, name), getattr(load.prompt_tokens, name)
        answer = getattr(each, name)
        more, more_tokens = reduce_load(load.chunks, answer, load.window)
        shared = load.shared_tokens if load.shared_tokens >= LEAST_SHARED else 0
        prefill = max(0.0, prompts - shared * max(0.0, requests - 1)) + more_tokens
        busy_s = prefill * pace.prefill_s + (requests + more) * answer * pace.decode_s
        cases.append((busy_s / workers / pace.busy, more))
    low, value, high = (seconds for seconds, _ in cases)
    known = pace.low is not None and pace.high is not None
    seconds = Amount(
        value + pace.start_s, low * (pace.low or 1.0) + pace.start_s, high * (pace.high or 1.0) + pace.start_s
    )
    return Forecast(seconds, known, _per_hour(load, seconds), pace, answers, each, cases[1][1])


def reduce_load(chunks: Sequence[tuple[float, float]], answer: float, window: int) -> tuple[float, float]:
    """Requests of all reduce steps and their prompt tokens, when each partial answer has `answer` tokens: the fewest
    even groups that fit, level by level, as the core joins them."""
    requests = tokens = 0.0
    for parts, documents in chunks:
        left = round(parts)
        fit = max(2, int(window // max(1.0, answer)))
        while left > 1:
            groups = math.ceil(left / fit)
            requests += documents * groups
            tokens += documents * left * answer
            left = groups
    return requests, tokens


def pooled(answers: Sequence[Answers]) -> Answers | None:
    """All answers of several runs together."""
    count = sum(answer.count for answer in answers)
    if not count:
        return None
    total = sum(answer.count * answer.mean for answer in answers)
    squares = sum(answer.count * (answer.deviation**2 + answer.mean**2) for answer in answers)
    return Answers.of(count, total, squares)


def backtest(runs: Sequence[Measured]) -> tuple[float, float] | None:
    """What the newest run (the first) would have been foretold from the others, and what it took: working seconds."""
    if len(runs) < 2:
        return None
    newest, *others = runs
    return _working_s(newest.total, newest.workers, _sums(others)), newest.working_s


def _answer_tokens(load: Load, answers: Answers | None) -> Amount:
    if answers is None:
        return Amount(load.max_tokens, 1, load.max_tokens)
    half = Z90 * answers.deviation / math.sqrt(answers.count)
    return Amount(answers.mean, max(1.0, answers.mean - half), min(load.max_tokens, answers.mean + half))


def _sums(runs: Sequence[Measured]) -> tuple[float, float, float]:
    total = sum((run.total for run in runs), Window(0, 0, 0, 0, 0))
    prefill_s = total.prefill_s / total.prefill_tokens if total.prefill_tokens else 0.0
    served = sum(run.working_s * run.workers for run in runs)
    return prefill_s, total.decode_s / total.decode_tokens, min(1.0, total.busy_s / served) if served else 1.0


def _working_s(total: Window, workers: int, sums: tuple[float, float, float]) -> float:
    prefill_s, decode_s, busy = sums
    return (total.prefill_tokens * prefill_s + total.decode_tokens * decode_s) / workers / busy


def _ratio(window: Window, prefill_s: float, decode_s: float, busy: float) -> float:
    foretold = (window.prefill_tokens * prefill_s + window.decode_tokens * decode_s) / busy
    return window.seconds / foretold if foretold else 1.0


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _per_hour(load: Load, seconds: Amount) -> Amount:
    def rate(documents: float, time_s: float) -> float:
        return 3600 * documents / time_s if time_s > 0 else 0.0

    documents = load.documents.value
    return Amount(rate(documents, seconds.value), rate(documents, seconds.high), rate(documents, seconds.low))
