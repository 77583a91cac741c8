"""The time that a planned run will take: which earlier runs match it, and what they say.

Called by plan; the arithmetic is `runner.predict.forecast`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import layout
from runner.config.schema import RunnerConfig
from runner.machine import Machine
from runner.models import ModelFolder, Prompt
from runner.predict import forecast
from runner.predict.estimate import Corpus, exactly
from runner.predict.pace import Measured
from runner.run import facts, fitting, history, settings


@dataclass(frozen=True, slots=True)
class Outlook:
    """`forecast` is None while no run of this setting was measured; `near_miss` then says in what one was other."""

    forecast: forecast.Forecast | None
    near_miss: tuple[str, list[str]] | None
    backtest: tuple[float, float] | None
    """Working seconds of the newest matching run: foretold from the others, and real."""

    def to_json(self) -> dict[str, Any]:
        """For `plan --json`."""
        return {
            "forecast": self.forecast.to_json() if self.forecast else None,
            "backtest": {"foretold_s": round(self.backtest[0], 1), "took_s": round(self.backtest[1], 1)}
            if self.backtest
            else None,
        }


def outlook(config: RunnerConfig, machine: Machine, model: ModelFolder, prompt: Prompt, corpus: Corpus) -> Outlook:
    """From the runs of the outputs folder and the calibrations of this user."""
    workers = fitting.workers_here(config, model)
    setting = facts.pace_setting(config, machine, model, workers)
    measured = history.measured(Path(config.output.dir), layout.calibrations_file())
    runs = forecast.matching(measured, setting)[: forecast.MOST_RUNS]
    if not runs:
        return Outlook(None, _near_miss(measured, setting, model), None)
    key = facts.answers_key(config, model, prompt)
    answers = forecast.pooled([run.answers for run in measured if run.answers_key == key])
    load = _load(config, model, prompt, corpus)
    return Outlook(forecast.forecast(load, runs, answers, workers), None, forecast.backtest(runs))


def _load(config: RunnerConfig, model: ModelFolder, prompt: Prompt, corpus: Corpus) -> forecast.Load:
    fixed = len(prompt.prefix_ids) + len(prompt.suffix_ids)
    documents, requests = corpus.amounts["documents"], corpus.amounts["requests"]
    tokens, chunks = corpus.amounts["tokens_to_send"], corpus.chunks
    most = config.job.max_documents
    if most is not None and not corpus.exact and most < documents.value:
        # A sample does not know which documents are the smallest: as many as would run, from the small end.
        share = corpus.smallest_share(most)
        tokens, requests = tokens.scaled(share), exactly(most)
        documents, chunks = exactly(most), ()
    return forecast.Load(
        documents=documents,
        requests=requests,
        prompt_tokens=tokens,
        shared_tokens=len(prompt.prefix_ids),
        max_tokens=config.job.max_tokens,
        chunks=chunks if config.job.reduce_template is not None else (),
        window=settings.max_model_len(config, model) - settings.written_tokens(config) - fixed,
    )


def _near_miss(measured: list[Measured], setting: dict[str, Any], model: ModelFolder) -> tuple[str, list[str]] | None:
    same = [run for run in measured if run.setting.get("weights") == model.weights_hash]
    nearest = min(same, key=lambda run: len(forecast.differences(run, setting)), default=None)
    return (nearest.source, forecast.differences(nearest, setting)) if nearest else None
