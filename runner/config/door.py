"""The door: from what Hydra composed to the frozen `RunnerConfig`, with every problem collected and shown at once.

Imports no Hydra, so that a recorded tree can be checked anywhere. Called by `compose`. Starts nothing and writes
nothing.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner import layout
from runner.config.checks import check_inputs, check_output, check_tree
from runner.config.fit import Fit, fit_tree
from runner.config.given import STDIN, path_list
from runner.config.job import pass_job
from runner.config.monitor import absolute
from runner.config.overrides import Words, explicit_keys
from runner.config.schema import IngestConfig, Output, Profile, RunnerConfig, Tree
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
    ingest = _ingest(tree.ingest)
    inputs, example = _inputs(tree.input, ingest, problems)
    check_inputs([path for path in inputs if path != STDIN], problems)
    output = _output(tree.output)
    check_output(output.run_dir or output.dir, problems)
    job = pass_job(tree.job, problems)
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
        ingest=ingest,
        sampling=tree.sampling,
        channel=tree.channel,
        worker=tree.worker,
        monitor=absolute(tree.monitor),
        log=tree.log,
        output=output,
        on_busy=tree.on_busy,
        inputs=inputs,
        example_corpus=example,
        overrides=words.overrides,
        composed_yaml=composed_yaml,
    )


def _inputs(value: Any, ingest: IngestConfig, problems: list[Problem]) -> tuple[tuple[str, ...], bool]:
    """Absolute paths in the user's order, `-` for standard input; and whether the example corpus stands in for none."""
    if (listed := path_list(ingest)) is not None:
        if value is not None or None not in (ingest.files_from, ingest.files0_from):
            problems.append(
                Problem(
                    f"{listed.key} is '{listed.source}' and "
                    + (f"input is {value!r}" if value is not None else f"ingest.files0_from is '{ingest.files0_from}'")
                    + ": only one of them says what is read",
                    "leave one out; a list may name folders, too",
                )
            )
        return (), False
    if value is None:
        return (str(layout.example_documents()),), True
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        problems.append(
            Problem(f"input is {value!r}, it must be a path or a list of paths", "input=FOLDER, or input='[a,b]'")
        )
        return (), False
    return tuple(item if item == STDIN else _absolute(item) for item in items), False


def _ingest(tree: IngestConfig) -> IngestConfig:
    def absolute(path: str | None) -> str | None:
        return path if path is None or path == STDIN else _absolute(path)

    return replace(tree, files_from=absolute(tree.files_from), files0_from=absolute(tree.files0_from))


def _absolute(path: str) -> str:
    if not path:
        return ""  # a problem that the checks name; it must not become the current folder
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - resolve() would follow links


def _output(tree: Output) -> Output:
    run_dir = None if tree.run_dir is None else _absolute(tree.run_dir)
    return replace(tree, dir=_absolute(tree.dir), run_dir=run_dir)


def profile_values(file: Path) -> list[str]:
    """Keys that a profile file sets besides `defaults`. A profile only chooses groups: a value in it would beat the
    user's own choice of a group, silently. Raises YAMLError, ValueError or OSError for a file that is no profile."""
    import yaml

    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError("it must hold a list `defaults`")
    return sorted(key for key in data if key != "defaults")
