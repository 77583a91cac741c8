"""`runner bench structured PATH`: how many answers fit a schema when the model is held to it, how many when it is not,
and what holding it costs.

Whole runs in fresh processes on the same documents, greedy, rounds in seeded random order; every answer is read again
here, whatever the run says of it. The cost of the masks is taken from those answers without the model, whose own noise
is larger. Prints figures and judges nothing. Called by commands/bench.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from runner import models, trial
from runner.bench.documents import choose
from runner.config.compose import compose
from runner.errors import EXIT_DOCUMENTS_FAILED, EXIT_OK, RunFailed, UsageError
from runner.machine import detect
from runner.models.child import ask
from runner.run import settings
from runner.structured import OutputSchema

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 40},
        "kind": {"enum": ["command", "function", "guide", "reference", "index", "other"]},
        "audience": {"enum": ["user", "developer", "administrator"]},
        "has_example": {"type": "boolean"},
        "names": {"type": "array", "maxItems": 3, "items": {"type": "string", "minLength": 1, "maxLength": 16}},
        "summary": {"type": "string", "minLength": 1, "maxLength": 100},
    },
    "required": ["title", "kind", "audience", "has_example", "names", "summary"],
    "additionalProperties": False,
}
"""Six fields: free text with a bound, choices, a truth value, a list."""

SYSTEM_PROMPT: Final = (
    "You read a page of technical documentation and answer with one JSON object and nothing else. Its keys, in this "
    "order: title, a string of at most 40 characters; kind, one of command, function, guide, reference, index, other; "
    "audience, one of user, developer, administrator; has_example, true or false; names, a list of at most 3 strings "
    "of at most 16 characters, the commands, options and functions that the page is about; summary, a string of at "
    'most 100 characters. For example: {"title": "VACUUM", "kind": "command", "audience": "administrator", '
    '"has_example": true, "names": ["VACUUM", "ANALYZE"], "summary": "Reclaims the space of dead rows."}'
)

PLANTED: Final[dict[str, dict[str, Any]]] = {
    "no JSON Schema": {**SCHEMA, "type": "objekt"},
    "no answer fits": {
        **SCHEMA,
        "properties": {**SCHEMA["properties"], "summary": {"type": "string", "minLength": 9, "maxLength": 3}},
    },
    "no end": {**SCHEMA, "properties": {**SCHEMA["properties"], "summary": {"type": "string"}}},
}
"""Mistakes that have to be refused before anything starts."""

WAYS: Final = ("held", "free")
REPAIRED: Final = "free, repaired once"


@dataclass(frozen=True, slots=True)
class Plan:
    """One bench. `overrides` are those of a run; `rounds` whole runs of each way, `mask_rounds` passes of the masks."""

    corpus: Path
    documents: int
    least_tokens: int
    most_tokens: int
    max_tokens: int
    rounds: int
    mask_rounds: int
    seed: int
    repair: bool
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. `reasons`: why answers do not fit, by their first words."""

    answers: Mapping[str, str]
    valid: int
    tokens: list[int]
    reasons: Mapping[str, int]
    seconds: float
    cpu_s: float


def outcome(lines: Sequence[Mapping[str, Any]], seconds: float, cpu_s: float) -> Outcome:
    """From the lines of results.jsonl. An answer counts when the run calls it ok and it fits, read again here."""
    schema = OutputSchema(json.dumps(SCHEMA))
    reasons: Counter[str] = Counter()
    for line in lines:
        problem = schema.check(line["output"] or "").problem
        if line["status"] == "ok" and problem:
            raise RunFailed(f"{line['source']} is called ok and does not fit the schema: {problem}", "report this bug")
        if line["status"] != "ok":
            reasons[_class_of(line["reason"])] += 1
    return Outcome(
        answers={Path(line["source"]).name: line["output"] or "" for line in lines},
        valid=sum(line["status"] == "ok" for line in lines),
        tokens=[sum(part["tokens_out"] for part in line["parts"]) for line in lines],
        reasons=dict(reasons.most_common()),
        seconds=seconds,
        cpu_s=cpu_s,
    )


def _class_of(reason: str) -> str:
    for words in ("the answer was cut", "not valid JSON", "schema: at "):
        if words in reason:
            return words.removesuffix(" at ").replace("schema:", "breaks the schema")
    return reason[:60]


class StructuredBench:
    """One bench in one temporary folder."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder, self._runs = plan, folder, 0
        self._machine = detect()
        self._inputs = folder / "documents"
        self._inputs.mkdir()
        self._schema = folder / "schema.json"
        self._schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
        self._config = compose(self._words("held", plan.corpus), self._machine)
        self._model = models.resolve(settings.model_choice(self._config.model), models.cache_dir())
        found = choose(
            plan.corpus, self._model.tokenizer_path, plan.documents, plan.least_tokens, plan.most_tokens, plan.seed
        )
        for number, one in enumerate(found):
            (self._inputs / f"{number:05}.txt").write_text(one.text, encoding="utf-8")

    def _words(self, way: str, inputs: Path) -> list[str]:
        return [
            f"input={inputs}",
            "job=prompt",
            "job.template={{ document }}",
            f"job.system_prompt={SYSTEM_PROMPT}",
            f"job.schema={self._schema}",
            f"job.constrain={str(way == 'held').lower()}",
            f"job.schema_repair={str(way == REPAIRED).lower()}",
            f"job.max_tokens={self._plan.max_tokens}",
            f"output.dir={self._folder / 'outputs'}",
            *self._plan.overrides,
        ]

    def measure(self) -> dict[str, Any]:
        """All rounds of all ways, then the masks on the answers of the held runs."""
        plan, config = self._plan, self._config
        refused = {name: self._refused(name, schema) for name, schema in PLANTED.items()}
        ways = [*WAYS, REPAIRED] if plan.repair else [*WAYS]
        outcomes: dict[str, list[Outcome]] = {way: [] for way in ways}
        order = random.Random(plan.seed)
        for number in range(plan.rounds):
            for way in order.sample(ways, len(ways)):
                print(f"round {number + 1} of {plan.rounds}: {way}", file=sys.stderr, flush=True)
                outcomes[way].append(self._run(way))
        held = OutputSchema(json.dumps(SCHEMA))
        answers = [text for text in outcomes["held"][0].answers.values() if not held.check(text).problem]
        return {
            "machine": {"chip": self._machine.chip, "cores": self._machine.physical_cores, "os": self._machine.os},
            "model": self._model.name,
            "batching": asdict(config.batching),
            "workers": config.cores.workers,
            "documents": plan.documents,
            "document_tokens": [plan.least_tokens, plan.most_tokens],
            "longest_answer": config.job.longest_answer,
            "max_tokens": plan.max_tokens,
            "rounds": plan.rounds,
            "seed": plan.seed,
            "refused": refused,
            "ways": {way: way_figures(found) for way, found in outcomes.items()},
            "masks": self._masks(answers) if answers else None,
        }

    def _refused(self, name: str, schema: Mapping[str, Any]) -> str:
        """What is said of a planted schema, which has to be refused."""
        file = self._folder / "planted.json"
        file.write_text(json.dumps(schema), encoding="utf-8")
        words = [word for word in self._words("held", self._inputs) if not word.startswith("job.schema=")]
        try:
            compose([*words, f"job.schema={file}"], self._machine)
        except UsageError as refused:
            said = refused.problems[0].text
            if said.startswith("job.schema"):
                return said
            raise
        raise RunFailed(f"the planted schema ({name}) was let through", "report this bug")

    def _run(self, way: str) -> Outcome:
        self._runs += 1
        folder, console = self._folder / f"run{self._runs}", self._folder / f"run{self._runs}.log"
        done = trial.run(self._words(way, self._inputs), folder, console)
        if done.exit_code not in (EXIT_OK, EXIT_DOCUMENTS_FAILED) or done.summary is None:
            last = console.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RunFailed(f"the run ended with exit code {done.exit_code}", f"its last words: {last}")
        lines = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
        return outcome(lines, done.summary["working_seconds"], done.cpu_s)

    def _masks(self, answers: Sequence[str]) -> dict[str, Any]:
        file = self._folder / "answers.json"
        file.write_text(json.dumps(answers), encoding="utf-8")
        measured = ask(
            "measure-masks",
            {
                "model": str(self._model.path),
                "grammar": self._config.job.grammar,
                "answers": str(file),
                "rows": self._config.batching.max_num_seqs,
                "rounds": self._plan.mask_rounds,
                "threads": self._config.cores.threads_per_worker,
                "cpus": (),
            },
        )
        return mask_figures(measured, self._config.batching.max_num_seqs)


def way_figures(found: Sequence[Outcome]) -> dict[str, Any]:
    """Medians over the rounds; the answers of the first, since greedy runs repeat: `same` says how many did."""
    first = found[0]
    rates = [60 * len(one.tokens) / one.seconds for one in found]
    return {
        "documents": len(first.tokens),
        "valid": [one.valid for one in found],
        "share": first.valid / len(first.tokens),
        "reasons": first.reasons,
        "tokens_per_document": statistics.mean(first.tokens),
        "most_tokens": max(first.tokens),
        "docs_per_min": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "cpu_s_per_document": statistics.median(one.cpu_s / len(one.tokens) for one in found),
        "same": min(sum(one.answers[name] == text for name, text in first.answers.items()) for one in found),
    }


def mask_figures(measured: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Microseconds that holding adds to a token of a row; the spread is that of the passes."""
    tokens, passes = measured["tokens"], measured["passes"]
    wall = [1e6 * (one["held_s"] - one["free_s"]) / tokens for one in passes]
    cpu = [1e6 * (one["held_cpu_s"] - one["free_cpu_s"]) / tokens for one in passes]
    return {
        "rows": rows,
        "tokens": tokens,
        "wall_us": {"median": statistics.median(wall), "least": min(wall), "most": max(wall)},
        "cpu_us": {"median": statistics.median(cpu), "least": min(cpu), "most": max(cpu)},
        "forced_share": measured["forced"] / max(1, measured["walked"]),
    }


def _lines(measured: Mapping[str, Any]) -> list[str]:
    (least, most), batching = measured["document_tokens"], measured["batching"]
    answers = f"the longest answer of the schema has {measured['longest_answer']} characters"
    shape = f"max_num_seqs {batching['max_num_seqs']}, {measured['workers']} workers"
    columns = f"{'valid':>11} {'share':>7} {'tokens/doc':>11} {'most':>6} {'docs/min':>9} {'CPU s/doc':>10} {'same':>6}"
    lines = [
        f"{measured['documents']} documents of {least} to {most} tokens, at most {measured['max_tokens']} written",
        answers,
        f"{measured['model']}, {measured['machine']['chip']}; {shape}",
        f"{measured['rounds']} rounds, seed {measured['seed']}",
        "",
        f"{'':22} {columns}",
    ]
    for name, one in measured["ways"].items():
        valid = f"{min(one['valid'])}/{one['documents']}"
        tokens = f"{one['tokens_per_document']:11.1f} {one['most_tokens']:6}"
        rates = f"{one['docs_per_min']:9.2f} {one['cpu_s_per_document']:10.2f} {one['same']:6}"
        lines.append(f"{name:22} {valid:>11} {one['share']:7.1%} {tokens} {rates}")
        lines += [f"    {count:5} {reason}" for reason, count in one["reasons"].items()]
    if (masks := measured["masks"]) is not None:
        lines += ["", *_mask_lines(masks)]
    lines += ["", "refused before the start:"]
    return lines + [f"    {name}: {said}" for name, said in measured["refused"].items()]


def _mask_lines(masks: Mapping[str, Any]) -> list[str]:
    wall, cpu = masks["wall_us"], masks["cpu_us"]
    spread = f"wall {wall['median']:.0f} ({wall['least']:.0f} to {wall['most']:.0f}), "
    spread += f"processor {cpu['median']:.0f} ({cpu['least']:.0f} to {cpu['most']:.0f})"
    return [
        f"holding costs, microseconds a token of a row in a batch of {masks['rows']}, without the model beside it:",
        f"    {spread}, over {masks['tokens']} tokens",
        f"tokens that follow from the grammar alone: {masks['forced_share']:.0%}; each still takes a step",
    ]


def run_structured_bench(plan: Plan, as_json: bool) -> int:
    """Measures and prints. UsageError for a corpus without enough documents."""
    with tempfile.TemporaryDirectory(prefix="runner-bench-") as folder:
        measured = StructuredBench(plan, Path(folder)).measure()
    print(json.dumps(measured, indent=2) if as_json else "\n".join(_lines(measured)))
    return EXIT_OK
