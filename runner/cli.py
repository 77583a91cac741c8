"""The command line: the first word decides between a sub-command and a run, errors become text and exit codes.

Sub-commands answer before Hydra is imported. A run or a sweep goes through `hydra.main`, so that -m, --cfg, --info
and completion work; its errors and exit codes are ours. Does not compose (config does) and does not run (run does).
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import layout
from runner.errors import EXIT_OK, EXIT_SIGINT, EXIT_USAGE, RunnerError, StorageError, UsageError, render

if TYPE_CHECKING:
    from runner.config.overrides import Words
    from runner.machine import Machine

# Sub-command -> what it does. The module is runner.commands.<name>; one that is not there is not known.
COMMANDS = {
    "plan": "what a run would do, and whether it can run here",
    "doctor": "facts of this machine, and what is missing",
    "profiles": "list profiles, where they come from and whether they fit this machine",
    "models": "list, size and pull models",
    "resume": "go on with a run or a sweep that was stopped, killed or failed",
    "batch": "the requests of an OpenAI batch file",
    "serve": "OpenAI's /v1/files and /v1/batches on this machine",
    "retry": "the failed documents of a run, once more",
    "quarantine": "documents that a schedule has given up: list and release",
    "results": "current results of a schedule or a job, over all its runs",
    "schedule": "batches that run by themselves: add, ls, show, next, run, rm, print, pause, resume",
    "ls": "runs, newest first; sweeps",
    "show": "one run: counts, figures, failures; or one of its documents",
    "diff": "what differs between two runs: configuration, environment, results, speed",
    "report": "draw report.html of a run or a sweep anew",
    "query": "SQL over runs, documents, samples and sweeps",
    "export": "a run's results as parquet, CSV, JSON lines or a dataset",
    "gc": "remove old runs by keep rules; shows what would go",
    "bench": "measure parts of this runner",
    "validate": "goldens, promises, and speed beside another build; the required figures",
    "tune": "prove what settings are worth on this machine",
    "tuning": "apply, show and revert settings of the machine",
    "version": "version of the runner and its parts",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of one command line (DESIGN section 11)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except RunnerError as error:
        print(render(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_SIGINT
    except BrokenPipeError:  # `runner ls | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def known_commands() -> list[str]:
    """Sub-commands whose module this version has."""
    here = Path(__file__).parent / "commands"
    return [name for name in COMMANDS if (here / f"{name}.py").is_file() or (here / name / "__init__.py").is_file()]


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else ""
    if first in ("-h", "--help", "help"):
        print(help_text())
        return EXIT_OK
    if first == "--version":
        first = "version"
    if first in known_commands():
        module: Any = importlib.import_module(f"runner.commands.{first}")
        return int(module.main(words[1:]))
    if first == "run":
        words = words[1:]
    elif first and first[0] not in "+~-" and "=" not in first:
        import difflib

        near = difflib.get_close_matches(first, [*known_commands(), "run"], 1)
        meant = f"did you mean '{near[0]}'? " if near else ""
        print(
            f"error: unknown command '{first}'\n  hint: {meant}runner --help lists commands and keys", file=sys.stderr
        )
        return EXIT_USAGE
    return _hydra(words)


# ---- Hydra ----


def _hydra(words: list[str]) -> int:
    from runner import machine
    from runner.config.overrides import read_words

    as_json = "--json" in words
    words = ["--help" if word == "--help-config" else word for word in words if word != "--json"]
    here = machine.detect()
    read = read_words(words, here)
    _check_home()
    outcome = _under_hydra(read, here, as_json)
    for error in outcome:
        if isinstance(error, BaseException):
            raise error
    return next((code for code in outcome if isinstance(code, int)), EXIT_OK)


def _check_home() -> None:
    if not (layout.conf_dir() / "config.yaml").is_file() or not (layout.profiles_dir() / "profile").is_dir():
        raise UsageError(
            f"{layout.data_root()} has no conf/config.yaml or no profiles/profile/: the installation is not complete",
            "install the wheel again, or run from a complete checkout",
        )


def _under_hydra(words: "Words", here: "Machine", as_json: bool) -> list[int | BaseException]:
    """Hydra parses, composes and calls the job, which never raises: Hydra would print its own banner before ours.
    What it came to is returned; empty when Hydra itself answered (--cfg, --info) or a sweep ended well."""
    import hydra
    from omegaconf import DictConfig

    from runner.config import compose

    outcome: list[int | BaseException] = []

    def job(cfg: DictConfig) -> None:
        try:
            config = compose.from_composed(cfg, words, here)
            from runner.run import execute
            from runner.tuning.process import problems

            if found := problems(config.tuning.environment):
                raise UsageError(problems=found)
            outcome.append(execute(config, here, as_json=as_json))
        except BaseException as error:  # noqa: BLE001 - raised again by our caller, past Hydra
            outcome.append(error)

    compose.register(words)
    wanted_trace = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of print and exit(1)
    argv, sys.argv = sys.argv, ["runner", *words.flags, *words.overrides]
    try:
        _swept(hydra.main(version_base="1.3", config_path=str(layout.conf_dir()), config_name="config")(job))
    except compose.COMPOSITION_ERRORS as error:
        if wanted_trace:
            raise
        raise compose.usage_error(error) from error
    except OSError as error:  # of Hydra's own: it makes the folder of a sweep; what our job raises is in `outcome`
        if wanted_trace:
            raise
        raise StorageError.of(f"cannot use {error.filename}", error) from error
    finally:
        sys.argv = argv
        if wanted_trace is None:
            del os.environ["HYDRA_FULL_ERROR"]
    return outcome


def _swept(job: Callable[[], object]) -> None:
    """Runs it and closes the sweep that the launcher may have begun in it. SweepFailed when jobs of it failed."""
    try:
        job()
    except BaseException as error:
        if sweep := sys.modules.get("runner.sweep"):
            sweep.finish(error)
        raise
    if sweep := sys.modules.get("runner.sweep"):
        sweep.finish()


# ---- help ----


def help_text() -> str:
    """One screen: usage, sub-commands, groups with their choices, three examples."""
    groups = ["profile", "model", "job", "memory", "cores", "batching", "tuning", "machine", "ingest", "monitor", "log"]
    roots = [layout.conf_dir(), *(folder for _, folder in layout.profile_folders())]
    lines = [
        "usage: runner [+profile=NAME] [input=PATH] [job=NAME] [key=value ...]",
        "       runner COMMAND [--json] ...",
        "",
        "Runs a local language model over documents and keeps every result safe.",
        "",
        "commands:",
        *(f"  {name:10} {COMMANDS[name]}" for name in known_commands()),
        "",
        "groups:",
    ]
    for group in groups:
        names = sorted({file.stem for root in roots for file in (root / group).glob("*.yaml")})
        lines.append(f"  {group:9} {', '.join(names)}")
    lines += [
        "",
        "examples:",
        "  runner                                       summarize the example corpus",
        "  runner input=~/papers job=qa +profile=auto   question-answer pairs for your documents",
        "  runner -m model=qwen3-1.7b,qwen3-8b          a sweep, one process a job",
        "",
        "  --cfg job prints all keys, -m sweeps, --json puts the summary on stdout, --help-config is Hydra's help",
    ]
    return "\n".join(lines)
