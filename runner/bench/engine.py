"""`runner bench engine PATH`: the model step beside mlx-lm as pip installs it, and how much of it a whole run reaches.

Same documents, greedy, the same number of generated tokens everywhere; contestants in fresh processes, the clock after
the load, rounds in seeded random order. The *ceiling* is our adapter over the documents in memory; a run's efficiency
is its rate over the ceiling. Prints figures with their spread and judges nothing. Called by commands/bench.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from runner import models, trial
from runner.bench.contestants import Work, specs
from runner.bench.documents import BenchDocument, choose, spread
from runner.bench.heat import Heat, run_heat
from runner.bench.llama import PRECISIONS, TRIAL_DOCUMENTS, Llama, Setting
from runner.config.compose import compose
from runner.config.schema import RunnerConfig
from runner.errors import EXIT_OK, RunFailed
from runner.machine import Machine, detect
from runner.run import settings

SYSTEM_PROMPT: Final = (
    "You are an assistant that reads technical documentation for a busy team. Read the page that follows with "
    "care. Write a short summary in plain English that keeps names of commands, options, functions, files and "
    "numbers exactly as they stand in the page. Begin with what the page is about and whom it concerns, then give "
    "the facts that a reader would have to know before using it. Do not invent anything that is not in the page, "
    "do not repeat yourself, do not mention these instructions, and do not address the reader. Use at most three "
    "sentences and no lists, no headings and no code blocks. When the page is only an index or a table of "
    "contents, say so and name its topics."
)
STOCK_DOCUMENTS: Final = 8
"""mlx-lm as pip installs it computes with the reference BLAS: all documents would take hours."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One bench. `overrides` are those of a run; `rounds` times everything, interleaved."""

    corpus: Path
    documents: int
    least_tokens: int
    most_tokens: int
    max_tokens: int
    rounds: int
    seed: int
    stock: bool
    overrides: tuple[str, ...]
    llama_python: str | None = None
    only: tuple[str, ...] = ()
    """Contestants by the beginnings of their names; empty = all. The run always takes part."""


@dataclass(slots=True)
class Entrant:
    """A contestant with what it did in each round."""

    name: str
    start: Callable[[], Heat]
    heats: list[Heat] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians over the rounds; `least` and `most` are the docs/min of the slowest and the fastest."""

    name: str
    documents: int
    docs_per_min: float
    least: float
    most: float
    docs_per_cpu_min: float
    prompt_per_s: float
    generated_per_s: float
    peak_bytes: int
    same_answers: int


class EngineBench:
    """One bench in one temporary folder."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder, self._runs = plan, folder, 0
        self._inputs = folder / "documents"
        self._inputs.mkdir()
        self._machine: Machine = detect()
        self._words = self._run_words(self._inputs)
        # The configuration names the tokenizer that documents are chosen with: it is composed before they are there.
        self._config: RunnerConfig = compose(self._run_words(plan.corpus), self._machine)
        self._model = models.resolve(settings.model_choice(self._config.model), models.cache_dir())
        self._documents: list[BenchDocument] = choose(
            plan.corpus, self._model.tokenizer_path, plan.documents, plan.least_tokens, plan.most_tokens, plan.seed
        )
        self._tokenizer = Tokenizer.from_file(str(self._model.tokenizer_path))
        self._prompts = folder / "prompts.json"
        prompt = models.render_prompt(self._model, SYSTEM_PROMPT, False)
        self.prefix_tokens = len(prompt.prefix_ids)
        self._ids = [[*prompt.prefix_ids, *one.token_ids, *prompt.suffix_ids] for one in self._documents]
        self._prompts.write_text(json.dumps(self._ids), encoding="ascii")
        for number, one in enumerate(self._documents):
            (self._inputs / f"{number:05}.txt").write_text(one.text, encoding="utf-8")

    def _run_words(self, inputs: Path) -> list[str]:
        return [
            f"input={inputs}",
            "job=prompt",
            "job.template={{ document }}",
            f"job.system_prompt={SYSTEM_PROMPT}",
            f"job.max_tokens={self._plan.max_tokens}",
            "sampling.ignore_eos=true",
            f"output.dir={self._folder / 'outputs'}",
            *self._plan.overrides,
        ]

    def measure(self) -> dict[str, Any]:
        """All rounds; the figures by name, with what they were reached with."""
        entrants = self._entrants()
        order = random.Random(self._plan.seed)
        for number in range(self._plan.rounds):
            for entrant in order.sample(entrants, len(entrants)):
                print(f"round {number + 1} of {self._plan.rounds}: {entrant.name}", file=sys.stderr, flush=True)
                entrant.heats.append(entrant.start())
        reference = next((one for one in entrants if one.name == "ceiling"), entrants[0])
        answers = reference.heats[0].outputs
        figures = [_figure(one, answers) for one in entrants]
        lengths = [len(ids) for ids in self._ids]
        return {
            "machine": {"chip": self._machine.chip, "cores": self._machine.physical_cores, "os": self._machine.os},
            "model": self._model.name,
            "batching": asdict(self._config.batching),
            "workers": self._config.cores.workers,
            "threads_per_worker": self._config.cores.threads_per_worker,
            "documents": len(lengths),
            "prompt_tokens": {"least": min(lengths), "mean": statistics.mean(lengths), "most": max(lengths)},
            "prefix_tokens": self.prefix_tokens,
            "max_tokens": self._plan.max_tokens,
            "rounds": self._plan.rounds,
            "seed": self._plan.seed,
            "figures": [asdict(one) for one in figures],
            "ratios": _ratios(entrants),
        }

    # ---- who takes part ----

    def _entrants(self) -> list[Entrant]:
        cores, workers = self._machine.physical_cores, self._config.cores.workers
        plain = partial(self._heat, "runner", workers, kernels="off")
        found = [
            Entrant("run", self._whole_run),
            Entrant("ceiling", lambda: self._heat("runner", workers)),
            # Each of these lacks one thing more than the one above it.
            Entrant("ceiling, mlx's own kernels", plain),
            Entrant("the same without the shared prefix", lambda: plain(share_prefix=False)),
            Entrant("stock + our BLAS, a process a core", lambda: self._heat("stock", cores, threads=1)),
            Entrant("stock + our BLAS", lambda: self._heat("stock", 1, threads=cores)),
        ]
        if self._plan.stock:
            few = self._few(STOCK_DOCUMENTS)
            found.append(Entrant("stock", lambda: self._heat("stock", 1, threads=cores, blas="none", documents=few)))
        if self._plan.llama_python is not None:
            llama = Llama(self._plan.llama_python, self._model.name, models.cache_dir(), self._folder)
            found += [self._llama(llama, precision, cores) for precision in PRECISIONS]
        return [
            one for one in found if one.name == "run" or not self._plan.only or one.name.startswith(self._plan.only)
        ]

    def _llama(self, llama: Llama, precision: str, cores: int) -> Entrant:
        def heat(setting: Setting, documents: Sequence[int]) -> Heat:
            most = self._plan.max_tokens
            return llama.heat(precision, setting, self._prompts, self._ids, documents, most, self._decode)

        best = llama.best(precision, cores, lambda setting: heat(setting, self._few(TRIAL_DOCUMENTS)))
        return Entrant(f"llama.cpp {precision}, {best.words}", lambda: heat(best, range(len(self._ids))))

    def _few(self, count: int) -> list[int]:
        """Documents at equal steps through all: the same ones every time."""
        return list(range(0, len(self._ids), max(1, len(self._ids) // count)))[:count]

    def _heat(
        self,
        way: str,
        processes: int,
        threads: int | None = None,
        blas: str | None = None,
        documents: Sequence[int] | None = None,
        kernels: str | None = None,
        **changed: Any,
    ) -> Heat:
        chosen = list(range(len(self._ids))) if documents is None else list(documents)
        shares = [
            [chosen[index] for index in share]
            for share in spread([len(self._ids[index]) for index in chosen], processes)
        ]
        work = Work(self._prompts, shares, self._plan.max_tokens)
        return run_heat(
            specs(self._config, self._model, work, way, threads, blas, kernels, **changed), self._decode, self._folder
        )

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def _whole_run(self) -> Heat:
        """The command that a person types, from the first worker that is ready to the last commit. Its processor time
        is that of the whole command, with the load."""
        self._runs += 1
        folder, console = self._folder / f"run{self._runs}", self._folder / f"run{self._runs}.log"
        done = trial.run(self._words, folder, console)
        if done.exit_code != 0 or done.summary is None:
            last = console.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RunFailed(f"the run ended with exit code {done.exit_code}", f"its last words: {last}")
        summary = done.summary
        lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
        results = [json.loads(line) for line in lines]
        return Heat(
            documents=summary["ok"],
            seconds=summary["working_seconds"],
            cpu_s=done.cpu_s,
            prompt_tokens=summary["prompt_tokens"],
            generated_tokens=summary["generated_tokens"],
            prefill_s=0.0,
            decode_s=0.0,
            peak_bytes=max(summary["peak_rss_bytes"].values(), default=0),
            outputs={int(Path(one["source"]).stem): one["output"] for one in results},
        )


def _per_minute(heat: Heat) -> float:
    return 60 * heat.documents / heat.seconds


def _figure(entrant: Entrant, answers: Mapping[int, str]) -> Figure:
    heats = entrant.heats
    rates = [_per_minute(heat) for heat in heats]
    last = heats[-1]
    return Figure(
        name=entrant.name,
        documents=last.documents,
        docs_per_min=statistics.median(rates),
        least=min(rates),
        most=max(rates),
        docs_per_cpu_min=statistics.median(60 * heat.documents / heat.cpu_s for heat in heats),
        prompt_per_s=statistics.median(heat.prompt_tokens / heat.seconds for heat in heats),
        generated_per_s=statistics.median(heat.generated_tokens / heat.seconds for heat in heats),
        peak_bytes=max(heat.peak_bytes for heat in heats),
        same_answers=sum(answers.get(number) == text for number, text in last.outputs.items()),
    )


def _ratios(entrants: Sequence[Entrant]) -> dict[str, dict[str, float]]:
    """The run over each of the others, round by round."""
    run = [_per_minute(heat) for heat in entrants[0].heats]
    ratios = {}
    for other in entrants[1:]:
        each = [ours / _per_minute(heat) for ours, heat in zip(run, other.heats, strict=True)]
        ratios[other.name] = {"median": statistics.median(each), "least": min(each), "most": max(each)}
    return ratios


def _lines(measured: Mapping[str, Any]) -> list[str]:
    tokens, batching = measured["prompt_tokens"], measured["batching"]
    widths = f"{tokens['least']} to {tokens['most']} tokens (mean {tokens['mean']:.0f})"
    shared = f"{measured['prefix_tokens']} of them shared, {measured['max_tokens']} generated each"
    workers = f"{measured['workers']} workers x {measured['threads_per_worker']} threads"
    rows = (
        f"max_num_seqs {batching['max_num_seqs']}, prefill {batching['prefill_batch_size']}, order {batching['order']}"
    )
    lines = [
        f"{measured['documents']} documents, prompts of {widths}, {shared}",
        f"{measured['model']}, {measured['machine']['chip']}; {rows}, {workers}",
        f"{measured['rounds']} rounds, seed {measured['seed']}",
        "",
        f"{'':48} {'docs/min':>9} {'least':>7} {'most':>7} {'/CPU-min':>9} {'prompt/s':>9} {'gen/s':>7} {'same':>9}",
    ]
    for one in measured["figures"]:
        rates = f"{one['docs_per_min']:9.2f} {one['least']:7.2f} {one['most']:7.2f} {one['docs_per_cpu_min']:9.2f}"
        tokens = f"{one['prompt_per_s']:9.0f} {one['generated_per_s']:7.1f}"
        lines.append(f"{one['name']:36} {rates} {tokens} {one['same_answers']:4}/{one['documents']:<4}")
    lines += ["", "the run over each, round by round: median (least to most)"]
    lines += [
        f"{name:48} {ratio['median']:9.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
        for name, ratio in measured["ratios"].items()
    ]
    return lines


def run_engine_bench(plan: Plan, as_json: bool) -> int:
    """Measures and prints. UsageError for a corpus without enough documents."""
    with tempfile.TemporaryDirectory(prefix="runner-bench-") as folder:
        measured = EngineBench(plan, Path(folder)).measure()
    print(json.dumps(measured, indent=2) if as_json else "\n".join(_lines(measured)))
    return EXIT_OK
