"""What a configuration gives to read: paths, standard input, or a list of paths. Pure; reads nothing.

Called by the door, by run, and by what cannot read standard input (sweeps, plan).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runner.config.schema import IngestConfig, RunnerConfig
from runner.errors import UsageError

STDIN: Final = "-"
"""Standard input, as an input or as a list. A file of this name is written ./-"""


@dataclass(frozen=True, slots=True)
class PathList:
    """A list of paths: its file or `-`, and what stands between two of them."""

    key: str
    source: str
    separator: bytes


def path_list(ingest: IngestConfig) -> PathList | None:
    """The list that the config names; the door has refused two."""
    if ingest.files_from is not None:
        return PathList("ingest.files_from", ingest.files_from, b"\n")
    if ingest.files0_from is not None:
        return PathList("ingest.files0_from", ingest.files0_from, b"\0")
    return None


def reads_stdin(config: RunnerConfig) -> str | None:
    """The words that make a run read standard input; None when it does not."""
    found = path_list(config.ingest)
    if found is not None:
        return f"{found.key}=-" if found.source == STDIN else None
    return "input=-" if STDIN in config.inputs else None


def refuse_stdin(config: RunnerConfig, why: str) -> None:
    """UsageError where standard input would be read by a command that cannot."""
    if words := reads_stdin(config):
        raise UsageError(f"{words} reads standard input, which {why}", "write it to a file, and give that file")


def shown(config: RunnerConfig) -> str:
    """What is read, in words."""
    if config.example_corpus:
        return "no input given: the example corpus"
    found = path_list(config.ingest)
    if found is not None:
        return f"the files of {'the list on standard input' if found.source == STDIN else found.source}"
    return ", ".join("standard input" if path == STDIN else path for path in config.inputs)
