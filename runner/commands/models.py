"""`runner models`: the models a profile can name, their cost, whether they fit; `runner models pull NAME` fetches one.

Thin: choices come from config, facts from runner.models. Fetches nothing unless asked. What is not here has no exact
size: the table says "not fetched" instead of a guess. Called by cli.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.commands.parser import Parser
from runner.config.schema import RunnerConfig
from runner.errors import EXIT_OK, RunnerError, UsageError
from runner.models import ModelChoice, ModelFolder, cache_dir, is_here, resolve
from runner.models.child import ask, say_on_stderr
from runner.models.folder import as_json, read_config
from runner.models.sizes import work_bytes
from runner.predict.footprint import PROCESS_BYTES, Footprint, Work
from runner.run.settings import model_choice

_NOT_FETCHED = "not fetched"


@dataclass(frozen=True, slots=True)
class Listed:
    """One name of the `model` group. `folder` None = not fetched; `problem` says why it cannot be used."""

    name: str
    source: str
    location: str
    folder: ModelFolder | None
    problem: str
    rows: int
    row_tokens: int
    mlx_bytes: int

    def _needs(self, folder: ModelFolder, rows: int) -> int:
        work = Work(*work_bytes(read_config(folder.path), fused_attention=True))
        standing = folder.memory_bytes["as_is"] + PROCESS_BYTES
        return Footprint(standing, 0, folder.kv_bytes_per_token, work, rows, 512).needs(rows, self.row_tokens)

    @property
    def needed_bytes(self) -> int | None:
        """A worker with a full batch at its peak."""
        return None if self.folder is None else self._needs(self.folder, self.rows)

    def fit(self) -> str:
        """Against the mlx pool of the profile that this machine gets."""
        if self.folder is None or self.needed_bytes is None:
            return "unknown"
        if self.folder.memory_bytes["as_is"] > self.mlx_bytes:
            return "weights do not fit"
        if self.needed_bytes > self.mlx_bytes:
            some = sum(self._needs(self.folder, rows) <= self.mlx_bytes for rows in range(1, self.rows))
            return f"{some} of {self.rows} full rows"
        return "yes"


def main(argv: list[str]) -> int:
    """Lists, or pulls."""
    parser = Parser(prog="runner models", description="List, size and pull models.")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    verbs = parser.add_subparsers(dest="verb")
    pull = verbs.add_parser("pull", help="fetch and convert a model, and pin its commit")
    pull.add_argument("name", help="a name of the list, or a hub repository owner/name")
    pull.add_argument("--revision", help="branch, tag or commit (default: the pinned one, else main)")
    pull.add_argument("--json", action="store_true", help="JSON on stdout")
    describe = verbs.add_parser(
        "describe", help="exact sizes of a model from its config.json alone, without its weights"
    )
    describe.add_argument("config", type=Path, help="path of a config.json")
    options = parser.parse_args(argv)
    if options.verb == "describe":
        return _describe(options.config)
    if options.verb == "pull":
        return _pull(options.name, options.revision, options.json)
    rows = [_listed(name) for name in _names()]
    if options.json:
        print(json.dumps([_row_json(row) for row in rows], indent=2))
    else:
        print(table(rows))
    return EXIT_OK


def _names() -> list[str]:
    from runner.config.compose import group_choices  # Hydra takes half a second: only when it is needed

    return group_choices("model")


def _compose(name: str) -> RunnerConfig:
    from runner.config.compose import compose

    return compose([f"model={name}", "input=."])  # the list does not depend on what would be read


def _listed(name: str) -> Listed:
    try:
        config = _compose(name)
        choice = model_choice(config.model)
    except RunnerError as error:
        return Listed(name, "-", "-", None, error.problem, 0, 0, 0)
    folder, problem = None, _NOT_FETCHED
    if is_here(choice, cache_dir()):
        try:
            folder, problem = resolve(choice, cache_dir()), ""
        except RunnerError as error:
            problem = error.problem
    length = min(config.model.max_model_len or 1 << 62, folder.max_position_embeddings if folder else 1 << 62)
    return Listed(
        name,
        choice.source,
        choice.location,
        folder,
        problem,
        config.batching.max_num_seqs,
        length,
        config.memory.mlx_bytes,
    )


def _pull(name: str, revision: str | None, as_json_text: bool) -> int:
    if "/" in name:
        choice = ModelChoice("hub", name, revision)
    elif name in _names():
        choice = model_choice(_compose(name).model)
        if revision is not None:
            choice = ModelChoice(choice.source, choice.location, revision, choice.precision)
    else:
        raise UsageError(
            f"no model is named {name!r}", f"one of: {', '.join(_names())}; or a hub repository owner/name"
        )
    folder = resolve(choice, cache_dir(), say_on_stderr)
    print(json.dumps(as_json(folder), indent=2) if as_json_text else f"{folder.name} is ready in {folder.path}")
    return EXIT_OK


def _describe(file: Path) -> int:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}", "give the path of a model's config.json") from error
    answer = ask("describe", {"config": config})
    del answer["event"]
    print(json.dumps(answer, indent=2))
    return EXIT_OK


def _row_json(row: Listed) -> dict[str, Any]:
    return {
        "name": row.name,
        "source": row.source,
        "location": row.location,
        "fetched": row.folder is not None,
        "problem": row.problem,
        "facts": as_json(row.folder) if row.folder else None,
        "needed_bytes": row.needed_bytes,
        "mlx_pool_bytes": row.mlx_bytes,
        "fit": row.fit(),
    }


def table(rows: list[Listed]) -> str:
    """Columns for people; sizes in MB and GB of 10^6 and 10^9 bytes, KV in bytes a token."""
    head = ("name", "source", "on disk", "in memory", "fp32", "bf16", "q8", "q4", "KV/token", "context", "fits here")
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        if row.folder is None:
            state = _NOT_FETCHED if row.problem == _NOT_FETCHED else "-"
            lines.append((row.name, row.source, state, *("unknown",) * 7, row.fit()))
            continue
        memory = row.folder.memory_bytes
        sizes = [_size(memory[key]) for key in ("as_is", "fp32", "bf16", "q8", "q4")]
        kv, context = str(row.folder.kv_bytes_per_token), str(row.folder.max_position_embeddings)
        lines.append((row.name, row.source, _size(row.folder.bytes), *sizes, kv, context, row.fit()))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{row.name}: {row.problem}" for row in rows if row.problem not in ("", _NOT_FETCHED)]
    return "\n".join([*shown, *([""] if notes else []), *notes])


def _size(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"
