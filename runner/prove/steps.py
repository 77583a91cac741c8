"""What is compared: candidate steps, each two arms of overrides, from a set in conf/prove or from the command line.

Reads yaml without Hydra. Decides what can apply to this machine; measures nothing. Called by commands/tune.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runner.errors import UsageError
from runner.machine import Machine

BASELINE = "a/a"
"""The name under which the baseline is measured against itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """Arm `a` is the machine without the step, arm `b` with it; each a list of overrides on top of the run's words."""

    name: str
    about: str
    a: tuple[str, ...]
    b: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Steps of a set for this machine, and why the others are left out."""

    steps: tuple[Step, ...]
    left_out: dict[str, str]


def read_candidates(file: Path, machine: Machine) -> Candidates:
    """`file` holds `steps: {name: {about, os, arch, least_cores, a, b}}`. UsageError when it holds something else."""
    try:
        data: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        found = {str(name): dict(entry) for name, entry in data["steps"].items()}
        steps, left_out = [], {}
        for name, entry in found.items():
            unknown = entry.keys() - {"about", "os", "arch", "least_cores", "a", "b"}
            if unknown:
                raise ValueError(f"step {name} has no key {', '.join(sorted(unknown))}")
            reason = _inapplicable(entry, machine)
            if reason:
                left_out[name] = reason
            else:
                arms = [tuple(_filled(str(word), machine) for word in entry.get(arm) or []) for arm in ("a", "b")]
                steps.append(Step(name, str(entry.get("about", "")), arms[0], arms[1]))
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"the candidate steps {file} cannot be read: {why}", "see conf/prove/standard.yaml for the form"
        ) from error
    return Candidates(tuple(steps), left_out)


def _inapplicable(entry: dict[str, Any], machine: Machine) -> str:
    for key, here in (("os", machine.os), ("arch", machine.arch)):
        if entry.get(key) not in (None, here):
            return f"not applicable: means something on {entry[key]} only"
    least = int(entry.get("least_cores", 1))
    if machine.physical_cores < least:
        return f"not applicable: needs {least} cores, there are {machine.physical_cores}"
    return ""


def _filled(word: str, machine: Machine) -> str:
    return word.replace("{cores}", str(machine.physical_cores))


def step_of(text: str) -> Step:
    """`NAME=A|B`, each side overrides separated by blanks; an empty side is the run as it is."""
    name, equals, arms = text.partition("=")
    a, bar, b = arms.partition("|")
    if not equals or not bar or not name.strip():
        raise UsageError(
            f"--step {text!r} is no step: it is written NAME='A|B'",
            "A and B are overrides with blanks between: --step rows='batching.max_num_seqs=4|batching.max_num_seqs=8'",
        )
    step = Step(name.strip(), "given on the command line", tuple(a.split()), tuple(b.split()))
    bad = next((word for word in (*step.a, *step.b) if "=" not in word), None)
    if bad is not None:
        raise UsageError(
            f"--step {step.name}: '{bad}' is no override: it has no '='", "overrides are written KEY=VALUE"
        )
    if step.a == step.b:
        raise UsageError(
            f"--step {step.name}: both arms are the same, there is nothing to judge",
            "the baseline is measured against itself before any step",
        )
    return step


def choose(candidates: Candidates, names: Sequence[str], own: Sequence[Step]) -> tuple[Step, ...]:
    """The named ones, or all that apply when neither names nor own steps are given; own steps behind them. UsageError
    for a name that is not known or does not apply here."""
    known = {step.name: step for step in candidates.steps}
    for name in names:
        if name in candidates.left_out:
            raise UsageError(f"step {name}: {candidates.left_out[name]}", f"choices here: {', '.join(known)}")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            lead = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"step '{name}' is not known", f"{lead}choices here: {', '.join(known)}")
    chosen = [known[name] for name in names] if names or own else list(known.values())
    steps = {step.name: step for step in (*chosen, *own)}
    if not steps:
        raise UsageError("no step to prove: none of the set applies to this machine", "give one with --step")
    if BASELINE in steps:
        raise UsageError(f"a step cannot be called {BASELINE}", "that is the baseline against itself; choose a name")
    return tuple(steps.values())
