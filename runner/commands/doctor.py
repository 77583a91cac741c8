"""`runner doctor`: facts of this machine, what is installed, what is missing, what a killed run left.

Changes nothing.
Exit 0 when a run can start, 1 when something that every run needs is broken. Called by cli.
"""

import importlib
import json
import os
import platform
import shutil
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from runner import layout
from runner.commands.parser import Parser
from runner.commands.version import PARTS, installed, own_version
from runner.config.catalogue import profiles
from runner.config.fit import least_system
from runner.config.sizes import format_size
from runner.errors import EXIT_OK, EXIT_RUN_FAILED, RunnerError
from runner.machine import Machine, choose_profile, detect
from runner.models.cache import cache_dir
from runner.models.child import ask
from runner.nights import entry, schedule, timers
from runner.store.locks import FileLock, is_held
from runner.tuning.journal import TuningJournal
from runner.tuning.script import call, known_scripts
from runner.tuning.system import default_journal

State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `cure` is empty when there is nothing to do."""

    name: str
    state: State
    text: str
    cure: str = ""


def main(argv: list[str]) -> int:
    """Prints the findings; --no-blas leaves out the measurement, which takes some seconds."""
    parser = Parser(prog="runner doctor", description="Look at this machine and this installation.")
    parser.add_argument("--no-blas", action="store_true", help="do not measure matrix products")
    parser.add_argument("--outputs", default=layout.DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    options = parser.parse_args(argv)
    machine = detect()
    findings = [
        *_machine(machine),
        *_installed(),
        *_profiles(machine),
        *_places(Path(options.outputs)),
        *_left_behind(),
        *_schedules(),
        *_settings(machine),
    ]
    confinement, said = _confinement(machine)
    findings.append(confinement)
    if not options.no_blas:
        findings += _computing(machine)
    if options.json:
        listed = [asdict(each) for each in findings]
        print(json.dumps({"machine": asdict(machine), "findings": listed, "extract_workers": said}, indent=2))
    else:
        print("\n".join(page(findings, shutil.get_terminal_size((120, 24)).columns)))
    return EXIT_RUN_FAILED if any(each.state == "broken" for each in findings) else EXIT_OK


def page(findings: Sequence[Finding], columns: int) -> list[str]:
    """A look at the first column and the last line says whether there is anything to do."""
    width, indent = max(60, min(columns, 120)), " " * 20
    out = []
    for each in findings:
        first = f"{each.state:8} {each.name:10} "
        # A path or a name is copied from here: it is never broken.
        kept: Any = {"break_long_words": False, "break_on_hyphens": False}
        out += textwrap.wrap(_short(each.text), width, initial_indent=first, subsequent_indent=indent, **kept)
        if each.cure:
            hint, more = f"{indent}hint: ", f"{indent}      "
            out += textwrap.wrap(_short(each.cure), width, initial_indent=hint, subsequent_indent=more, **kept)
    counts = [
        f"{sum(each.state == state for each in findings)} {word}"
        for state, word in (("broken", "broken"), ("warning", "to look at"))
        if any(each.state == state for each in findings)
    ]
    broken = any(each.state == "broken" for each in findings)
    verdict = "a run cannot start here" if broken else "runs can start here"
    return [*out, "", f"{verdict}: {', '.join(counts) or 'nothing to do'}"]


def _short(text: str) -> str:
    """The user's own folder as ~."""
    return text.replace(f"{Path.home()}/", "~/")


def _machine(machine: Machine) -> list[Finding]:
    kinds = ", ".join(f"{group.physical} {group.kind}" for group in machine.cores) or "unknown"
    quota = f", at most {machine.cpu_quota:g} CPUs in this container" if machine.cpu_quota is not None else ""
    memory = f"{format_size(machine.memory_bytes)} ({machine.memory_limit})"
    reserve = format_size(least_system(machine.memory_bytes))
    laptop = ", on a battery or beside one" if machine.battery else ""
    nodes = f", on {len(machine.nodes)} NUMA nodes" if len(machine.nodes) > 1 else ""
    enough = machine.memory_bytes > 4 * 2**30
    return [
        Finding("machine", "ok", f"{machine.chip}, {machine.os} {platform.release()} {machine.arch}{laptop}"),
        Finding(
            "memory",
            "ok" if enough else "warning",
            f"{memory}, {reserve} stay with the system",
            "" if enough else "only the smallest models fit: model=smollm2-135m",
        ),
        Finding("cores", "ok", f"{kinds} cores{quota}{nodes}"),
        Finding(
            "gpu", "ok", "Apple GPU through Metal" if machine.metal else "none that MLX uses: models run on the CPU"
        ),
    ]


def _installed() -> list[Finding]:
    versions = {name: installed(name) for name in PARTS}
    missing = [name for name, version in versions.items() if version is None]
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    out = [
        Finding(
            "packages",
            "broken" if missing else "ok",
            f"runner {own_version()}, {listed}" + (f"; missing: {', '.join(missing)}" if missing else ""),
            "pip install mlx-runner" if missing else "",
        )
    ]
    try:
        native: Any = importlib.import_module("runner._native")
    except ImportError as error:
        out.append(Finding("native", "broken", f"the Rust core cannot be loaded: {error}", "make setup, or reinstall"))
    else:
        out.append(Finding("native", "ok", str(native.__file__)))
    return out


def _schedules() -> list[Finding]:
    """Whether the system's timer still has what each schedule says."""
    names = schedule.names()
    out = []
    for name in names:
        try:
            made = schedule.load(name)
            timer = timers.of(made.backend)
            state = "current" if timer is None or made.paused else timer.state(entry.make(made))
        except RunnerError as error:
            out.append(Finding("schedule", "warning", f"{name}: {error.problem}", error.cure))
            continue
        if state != "current":
            what = "has no entry of it" if state == "absent" else "has another entry than its file says"
            cure = f"runner schedule resume {name}"
            out.append(
                Finding("schedule", "warning", f"{name}: {made.backend} {what}: it will not run as it says", cure)
            )
    return out or ([Finding("schedule", "ok", f"{', '.join(names)}: as their files say")] if names else [])


def _profiles(machine: Machine) -> list[Finding]:
    default, why = choose_profile(machine)
    rows = profiles(machine)
    out = [Finding("profile", "ok", f"{default} runs when none is named: {why}")]
    out += [
        Finding("profile", "warning", f"{row.name} ({row.file}) cannot be used: {row.problem}", "runner profiles")
        for row in rows
        if row.problem
    ]
    return out


def _places(outputs: Path) -> list[Finding]:
    out = []
    for name, place in (
        ("outputs", outputs.absolute()),
        ("cache", cache_dir()),
        ("state", layout.user_state_dir()),
    ):
        there = place
        while not there.exists() and there != there.parent:
            there = there.parent
        if os.access(there, os.W_OK | os.X_OK):
            stat = os.statvfs(there)
            free = stat.f_bavail * stat.f_frsize
            low = free < 2**30
            cure = "a run stops with exit 74 when the disk is full" if low else ""
            out.append(Finding(name, "warning" if low else "ok", f"{place}, {format_size(free)} free", cure))
        else:
            out.append(Finding(name, "broken", f"{place} cannot be written ({there})", f"chmod u+w '{there}'"))
    return out


def _left_behind() -> list[Finding]:
    out = [
        Finding("lock", "warning", f"{file.stem} is held by {FileLock(file).holder()}")
        for file in sorted((layout.user_state_dir() / "locks").glob("*.lock"))
        if is_held(file)
    ]
    journal = default_journal()
    if journal.is_file():
        left = TuningJournal(journal).open_intents()
        out += [
            Finding("tuning", "ok", f"{each.step} is kept as `runner tuning apply` set it", "runner tuning revert")
            if each.kept
            else Finding(
                "tuning", "warning", f"{each.step} was set by run {each.run} and is not back", "the next run does"
            )
            for each in left
        ]
    return out or [Finding("left over", "ok", "no lock held, no setting left behind")]


def _settings(machine: Machine) -> list[Finding]:
    """Which settings of the machine a profile could change (system scope), and who else changes them. Only reads."""
    there: list[str] = []
    absent: list[str] = []
    owners: dict[str, list[str]] = {}
    for name, (_, system) in known_scripts().items():
        if system != machine.os:
            continue
        try:
            report = call(name, "facts")
        except RunnerError as error:
            return [Finding("settings", "warning", error.problem, error.cure)]
        if report.state != "ok":
            absent.append(f"{name} ({report.detail})")
            continue
        there.append(name)
        if report.detail:
            owners[report.detail] = [*owners.get(report.detail, []), name]
    without = f"; not here: {', '.join(absent)}" if absent else ""
    out = [Finding("settings", "ok", f"a profile of system scope can set: {', '.join(there) or 'nothing'}{without}")]
    cure = "leave them to it (system scope is off by default), or stop it before runner tuning apply"
    out += [Finding("settings", "warning", f"{o} sets {', '.join(names)}", cure) for o, names in owners.items()]
    return out


def _confinement(machine: Machine) -> tuple[Finding, dict[str, str]]:
    """Measured: a child confines itself and then tries to write, read, connect, fork and take too much memory."""
    with tempfile.TemporaryDirectory(prefix="runner-doctor-") as folder:
        (Path(folder) / "outside").write_bytes(b"not for an extract worker")
        spec = {"memory_bytes": 2**31, "open_files": 64, "folder": folder}
        try:
            answer = ask("confine", spec, timeout_s=60)
        except RunnerError as error:
            return Finding("confined", "broken", f"extract workers: {error.problem}", error.cure), {}
    said: dict[str, str] = answer["in_force"]
    text = "extract workers: limits {limits}, files: {filesystem}, network: {network}, system calls: {system_calls}"
    if answer["escaped"]:
        escaped = ", ".join(answer["escaped"])
        cure = "report this: the system took the rule and does not keep it"
        return Finding("confined", "broken", f"{text.format(**said)}; did not hold: {escaped}", cure), said
    expected = machine.os != "linux" or all(state == "in force" for state in said.values())
    tight = expected and not any(state.startswith("unsupported") for state in said.values())
    cure = "" if tight else "a kernel from 5.13 on with Landlock and seccomp, and a container that does not hide them"
    return Finding("confined", "ok" if tight else "warning", text.format(**said), cure), said


def _computing(machine: Machine) -> list[Finding]:
    """Matrix products, measured in a worker as a model uses them: one thread; and whose the other operations are."""
    if machine.metal:
        return [Finding("blas", "ok", "Accelerate, and Metal for the model")]
    try:
        answer = ask("measure-blas", {"blas": "auto", "threads": 1, "rows": [1, 64]}, timeout_s=120)
    except RunnerError as error:
        return [Finding("blas", "broken", error.problem, error.cure)]
    speeds = ", ".join(f"{speed} GFLOP/s at M={rows}" for rows, speed in answer["gflops"].items())
    slow = float(answer["gflops"]["64"]) < 15
    cure = "pip install scipy-openblas32: MLX's own library is tens of times slower" if slow else ""
    state: State = "warning" if slow else "ok"
    plain = answer["kernels"] != "on"
    without = "make setup with a C++ compiler here: a prefill takes twice as long without" if plain else ""
    return [
        Finding("blas", state, f"{answer['blas']}, {answer['core']}, one thread: {speeds}", cure),
        Finding("kernels", "warning" if plain else "ok", f"{answer['kernels']}: {answer['kernels_reason']}", without),
    ]
