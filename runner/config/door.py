"""The door: from what Hydra composed to the frozen `RunnerConfig`, with every problem collected and shown at once.

Imports no Hydra, so that a recorded tree can be checked anywhere. Called by `compose`. Starts nothing and writes
nothing.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner import layout
from runner.config.checks import check_inputs, check_job, check_output, check_tree, read_text
from runner.config.fit import Fit, fit_tree
from runner.config.overrides import Words, explicit_keys
from runner.config.schema import Job, JobTree, Output, Profile, RunnerConfig, Tree
from runner.config.tree import freeze
from runner.errors import Problem, UsageError
from runner.machine import Machine


def pass_door(data: Mapping[str, Any], words: Words, machine: Machine, composed_yaml: str) -> RunnerConfig:
    """The configuration of one run. UsageError holds all problems found."""
    problems: list[Problem] = []
    tree = freeze(Tree, data, problems)
    if tree is None:
        raise UsageError(problems=problems)
    check_tree(tree, problems)
    fit = Fit(machine=machine, explicit=explicit_keys(words.overrides), foreign=False)
    memory, cores, batching = fit_tree(tree, fit)
    problems += fit.problems
    inputs, example = _inputs(tree.input, problems)
    check_inputs(inputs, problems)
    output = _output(tree.output)
    check_output(output.run_dir or output.dir, problems)
    job = _job(tree.job, problems)
    if problems or memory is None or job is None:
        raise UsageError(problems=problems)
    return RunnerConfig(
        profile=Profile(words.profiles, words.chosen_by, words.reason, tuple(fit.notes)),
        machine=tree.machine,
        memory=memory,
        cores=cores,
        model=tree.model,
        batching=batching,
        tuning=tree.tuning,
        job=job,
        ingest=tree.ingest,
        sampling=tree.sampling,
        channel=tree.channel,
        worker=tree.worker,
        monitor=tree.monitor,
        log=tree.log,
        output=output,
        on_busy=tree.on_busy,
        inputs=inputs,
        example_corpus=example,
        overrides=words.overrides,
        composed_yaml=composed_yaml,
    )


def _inputs(value: Any, problems: list[Problem]) -> tuple[tuple[str, ...], bool]:
    """Absolute paths in the user's order, and whether the example corpus stands in for none."""
    if value is None:
        return (str(layout.example_documents()),), True
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        problems.append(
            Problem(f"input is {value!r}, it must be a path or a list of paths", "input=FOLDER, or input='[a,b]'")
        )
        return (), False
    return tuple(_absolute(item) for item in items), False


def _absolute(path: str) -> str:
    if not path:
        return ""  # a problem that the checks name; it must not become the current folder
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - resolve() would follow links


def _output(tree: Output) -> Output:
    run_dir = None if tree.run_dir is None else _absolute(tree.run_dir)
    return replace(tree, dir=_absolute(tree.dir), run_dir=run_dir)


# ---- the job ----


def _job(tree: JobTree, problems: list[Problem]) -> Job | None:
    before = len(problems)
    check_job(tree, problems)
    template = tree.template
    if template is None and tree.template_file is not None:
        template = read_text("job.template_file", tree.template_file, problems)
    schema = _schema(tree, problems)
    if template is not None and "document" not in template:
        problems.append(
            Problem(
                f"job.template never names the document: {_short(template)!r}",
                "write {{ document }} where its text belongs",
            )
        )
    if tree.reduce_template is not None and "parts" not in tree.reduce_template:
        problems.append(
            Problem(
                f"job.reduce_template never names the parts: {_short(tree.reduce_template)!r}",
                "write {% for part in parts %}{{ part }}{% endfor %}, or job.reduce_template=null",
            )
        )
    if len(problems) > before or template is None:
        return None
    return Job(
        name=tree.name,
        task=tree.task,
        system_prompt=tree.system_prompt,
        template=with_variables(template, tree.labels, schema),
        reduce_template=None
        if tree.reduce_template is None
        else with_variables(tree.reduce_template, tree.labels, schema),
        labels=tree.labels,
        output_schema=schema,
        schema_repair=tree.schema_repair,
        keep_whole_items=tree.keep_whole_items,
        answer_prefix=tree.answer_prefix,
        max_tokens=tree.max_tokens,
        max_documents=tree.max_documents,
        max_chunks=tree.max_chunks,
        deadline_ms=tree.deadline_ms,
        max_attempts=tree.max_attempts,
        max_failed=tree.max_failed,
        export_chat=tree.export_chat,
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def with_variables(template: str, labels: tuple[str, ...], schema: str | None) -> str:
    """`labels` and `schema` set in front of a template that names them, on its first line so that line numbers stay
    right. A JSON literal is a minijinja literal."""
    head = ""
    if labels and re.search(r"\blabels\b", template):
        head += "{% set labels = " + json.dumps(list(labels), ensure_ascii=False) + " %}"
    if schema is not None and re.search(r"\bschema\b", template):
        head += "{% set schema = " + json.dumps(schema, ensure_ascii=False) + " %}"
    return head + template


def _schema(tree: JobTree, problems: list[Problem]) -> str | None:
    """Canonical JSON text of the output schema; that of the labels for classify."""
    value = tree.schema
    if value is None and tree.task == "classify":
        value = {
            "type": "object",
            "properties": {"label": {"enum": list(tree.labels)}},
            "required": ["label"],
            "additionalProperties": False,
        }
    if isinstance(value, str):
        text = value if value.lstrip().startswith("{") else read_text("job.schema", value, problems)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except ValueError as error:
            problems.append(
                Problem(f"job.schema is {_short(value)!r}, which is not JSON: {error}", "give a JSON Schema file")
            )
            return None
    if value is None:
        return None
    if not isinstance(value, dict):
        problems.append(
            Problem(f"job.schema is {value!r}, it must be a mapping or the path of a JSON file", "job.schema=FILE.json")
        )
        return None
    _check_schema(value, problems)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _check_schema(value: dict[str, Any], problems: list[Problem]) -> None:
    from jsonschema.exceptions import SchemaError  # only jobs with a schema pay for it
    from jsonschema.validators import Draft202012Validator

    try:
        Draft202012Validator.check_schema(value)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "the top"
        problems.append(
            Problem(
                f"job.schema is not a JSON Schema: at {where}: {error.message}", "see json-schema.org, draft 2020-12"
            )
        )


def profile_values(file: Path) -> list[str]:
    """Keys that a profile file sets besides `defaults`. A profile only chooses groups: a value in it would beat the
    user's own choice of a group, silently. Raises YAMLError, ValueError or OSError for a file that is no profile."""
    import yaml

    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError("it must hold a list `defaults`")
    return sorted(key for key in data if key != "defaults")
