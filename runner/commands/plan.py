"""`runner plan [overrides]`: what that run would do here, without doing it. Exit 2 when it cannot run.

Composes and checks like a run, looks at the model without fetching one from the hub, and asks the core's survey what
is new. Makes no run folder. Called by cli.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from runner import layout, models
from runner.config.answers import CHARACTERS_PER_TOKEN
from runner.config.compose import compose
from runner.config.fit import workers_that_fit
from runner.config.schema import Job, RunnerConfig
from runner.config.sizes import format_size
from runner.errors import EXIT_OK, EXIT_USAGE, Problem, UsageError, render
from runner.machine import Machine, detect
from runner.models.sources import pulled
from runner.run import settings
from runner.run.door import core_errors, make_core
from runner.tuning.process import problems as environment_problems


def main(argv: list[str]) -> int:
    """0 when the run can start here, 2 with all reasons when it cannot."""
    if argv and argv[0] in ("-h", "--help"):
        print("usage: runner plan [--json] [+profile=NAME] [input=PATH] [key=value ...]\n\nOverrides as for a run.")
        return EXIT_OK
    as_json = "--json" in argv
    machine = detect()
    config = compose([word for word in argv if word != "--json"], machine)
    data, problems = _plan(config, machine)
    if as_json:
        listed = [dataclasses.asdict(problem) for problem in problems]
        print(json.dumps({**data, "problems": listed}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(config, data)))
    if problems:
        print(render(UsageError(problems=problems)), file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


def _plan(config: RunnerConfig, machine: Machine) -> tuple[dict[str, Any], list[Problem]]:
    problems = environment_problems(config.tuning.environment)
    data: dict[str, Any] = {
        "profile": dataclasses.asdict(config.profile),
        "machine": {"os": machine.os, "arch": machine.arch, "chip": machine.chip, "memory_limit": machine.memory_limit},
        "memory": dataclasses.asdict(config.memory),
        "cores": dataclasses.asdict(config.cores),
        "batching": dataclasses.asdict(config.batching),
        "tuning": dataclasses.asdict(config.tuning),
        "job": {
            "name": config.job.name,
            "max_tokens": config.job.max_tokens,
            "constrained": config.job.grammar is not None,
            "longest_answer": config.job.longest_answer,
            "notes": list(config.job.notes),
        },
        "inputs": list(config.inputs),
        "model": None,
        "survey": None,
    }
    try:
        model = _model(config)
    except UsageError as error:
        return data, [*problems, *error.problems]
    row = model.kv_bytes_per_token * settings.max_model_len(config, model)
    fitting = workers_that_fit(config.cores, config.memory.mlx_bytes, model.bytes + row)
    data["model"] = {
        "name": model.name,
        "folder": str(model.path),
        "bytes": model.bytes,
        "kv_bytes_per_row": row,
        "workers_that_fit": fitting,
    }
    if fitting < config.cores.workers:
        problems.append(
            Problem(
                f"{config.cores.workers} workers of {model.name} need "
                f"{format_size(config.cores.workers * (model.bytes + row))} "
                f"(weights and one full row each), memory.mlx is {format_size(config.memory.mlx_bytes)}",
                f"cores.workers={max(1, fitting)}, a smaller model, or lower model.max_model_len",
            )
        )
        return data, problems
    try:
        data["survey"] = _survey(config, model)
    except UsageError as error:
        problems += error.problems
    return data, problems


def _model(config: RunnerConfig) -> models.ModelFolder:
    """The model at hand; nothing is fetched from the hub for a plan."""
    choice = settings.model_choice(config.model)
    if choice.source == "hub":
        pulled(choice, lambda _text: None, fetch=False)
    return models.resolve(choice, models.cache_dir())


def _survey(config: RunnerConfig, model: models.ModelFolder) -> dict[str, Any]:
    outputs = Path(config.output.dir)
    prompt = models.render_prompt(
        model, config.job.system_prompt, config.model.enable_thinking, config.job.answer_prefix
    )
    wanted = settings.core_settings(
        config, model, prompt, run_id="plan", run_dir=str(outputs / "plan"), index_path=str(layout.index_file(outputs))
    )
    with core_errors():
        return make_core(json.dumps(wanted)).survey()


def _job_lines(job: Job) -> list[str]:
    out = [f"job       {job.name}, up to {job.max_tokens} tokens an answer"]
    if job.grammar is not None:
        few, many = (-(-job.longest_answer // each) for each in (CHARACTERS_PER_TOKEN, 1))
        size = f"the longest has {job.longest_answer} characters: {few} tokens of plain text, {many} of digits"
        out.append(f"  answers held to the schema; {size}")
    elif job.output_schema is not None:
        out.append("  answers checked against the schema when they are done (job.constrain=false)")
    return out + [f"  note    {note}" for note in job.notes]


def _lines(config: RunnerConfig, data: dict[str, Any]) -> list[str]:
    profile, memory, cores = config.profile, config.memory, config.cores
    chosen = f" ({profile.reason})" if profile.reason else ""
    out = [f"profile   {profile.label}{chosen}"]
    out += [f"  fitted  {fit.key}: {fit.was} -> {fit.now} ({fit.why})" for fit in profile.fitted]
    pools = ", ".join(
        f"{name} {format_size(getattr(memory, f'{name}_bytes'))}" for name in ("rust", "mlx", "ipc", "system")
    )
    out.append(f"memory    {format_size(memory.total_bytes)}: {pools}")
    pins = "; ".join(",".join(map(str, cpus)) for cpus in cores.worker_cpus if cpus) or "not pinned"
    out.append(f"cores     {cores.workers} workers x {cores.threads_per_worker} threads, on CPUs {pins}")
    out.append(f"batching  max_num_seqs {config.batching.max_num_seqs}, prefill {config.batching.prefill_batch_size}")
    tuning = config.tuning
    out.append(f"tuning    {tuning.name}: scopes {', '.join(tuning.scopes) or 'none'}, blas {tuning.blas}")
    out += [f"  step    {name} = {value}" for name, value in tuning.steps.items()]
    out += _job_lines(config.job)
    if data["model"] is not None:
        model = data["model"]
        out.append(f"model     {model['name']}, {format_size(model['bytes'])} on disk, {model['folder']}")
    what = "the example corpus (no input given)" if config.example_corpus else ", ".join(config.inputs)
    out.append(f"input     {what}")
    if data["survey"] is not None:
        survey = data["survey"]
        if survey["nothing_to_do"]:
            out.append(
                f"          nothing to do: {survey['unchanged']} of {survey['files']} files unchanged and finished"
            )
        else:
            why = ", ".join(f"{count} {reason}" for reason, count in survey.get("why", {}).items())
            counted = f"{survey['files']} files, {survey['unchanged']} unchanged, {survey['to_do']} to do"
            out.append(f"          {counted}" + (f" ({why})" if why else ""))
    out.append(f"output    {config.output.run_dir or config.output.dir}")
    return out
