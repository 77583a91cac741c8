"""One batch's folder and its runs: begun, gone on with after any kill, their results turned into OpenAI's lines.

The folder holds the input, the words of its runs, and a folder a group with the group's own input and run; a finished
run is never done again, one that was begun goes on by `runner resume`. Starts no process itself (trial does). Called by
serve and the batch command. Format: docs/serve.md.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runner import trial
from runner.batch.answers import Line, Source, answered, failed, not_run, refused, too_long
from runner.batch.requests import Choice, Parsed, Refusal, Request, parse
from runner.config.answers import CHARACTERS_PER_TOKEN
from runner.config.overrides import quote
from runner.errors import EXIT_BUSY, EXIT_DOCUMENTS_FAILED, EXIT_OK, EXIT_USAGE, StorageError, UsageError
from runner.layout import RunFolder
from runner.store.files import read_json, storage, write_bytes, write_json
from runner.store.folder import read_identity
from runner.store.listing import state_of

VERSION: Final = 1
MOST_LIVES: Final = 5
"""Times that a group's run is started or gone on with in one go, before it counts as failed."""
TURN_S: Final = 0.2

_OURS: Final = ("input", "job", "job.template", "job.template_file", "job.schema", "job.fields", "output.run_dir")


def check_words(words: Sequence[str]) -> None:
    """Raises UsageError for words that a batch sets itself."""
    for word in words:
        key, equals, _ = word.lstrip("+~").partition("=")
        if word.startswith("-") or not equals or key in _OURS:
            raise UsageError(
                f"{word!r} cannot be given for a batch: its requests say what is asked",
                "give model=..., +profile=..., sampling.*, job.max_tokens and other KEY=VALUE words",
            )


@dataclass(slots=True)
class Tail:
    """Counts the whole lines of a results.jsonl that grows, each read once."""

    offset: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def look(self, path: Path) -> Counter[str]:
        """By status. A file that became shorter was written anew and is read again."""
        try:
            with path.open("rb") as file:
                if file.seek(0, 2) < self.offset:
                    self.offset, self.counts = 0, Counter()
                file.seek(self.offset)
                for raw in file:
                    if not raw.endswith(b"\n"):
                        break
                    self.offset += len(raw)
                    result = json.loads(raw)
                    right = result["status"] == "ok" and not too_long(result)
                    self.counts["completed" if right else "failed"] += 1
        except FileNotFoundError:  # a run that has not come so far
            return self.counts
        return self.counts


class Work:
    """A batch in its folder. `name` makes the ids of its lines; `words` are the overrides of all its runs."""

    def __init__(self, root: Path, name: str, words: tuple[str, ...], parsed: Parsed) -> None:
        self.root, self.name, self.words, self.parsed = root, name, words, parsed
        self.problem = ""
        self._tails: dict[Choice, Tail] = {choice: Tail() for choice in parsed.groups}
        self._refused: dict[Choice, str] = {}

    @classmethod
    def create(cls, root: Path, name: str, words: Sequence[str], data: bytes) -> Work:
        """A folder for `data`, or the one that an earlier start made for the same."""
        check_words(words)
        with storage(f"cannot create {root}"):
            root.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not (root / "batch.json").is_file():
            write_bytes(root / "requests.jsonl", data)
            write_json(root / "batch.json", {"version": VERSION, "name": name, "words": list(words)})
        return cls.open(root)

    @classmethod
    def open(cls, root: Path) -> Work:
        """What `create` made. StorageError when it is damaged or of another version."""
        kept = read_json(root / "batch.json")
        words = kept.get("words")
        if kept.get("version") != VERSION or not isinstance(words, list):
            raise StorageError(f"{root / 'batch.json'} is not of version {VERSION}", "use the runner that wrote it")
        with storage(f"cannot read {root / 'requests.jsonl'}"):
            data = (root / "requests.jsonl").read_bytes()
        return cls(root, str(kept["name"]), tuple(map(str, words)), parse(data))

    # ---- running ----

    def run(self, stop: Callable[[], bool]) -> bool:
        """All groups, one after another. False when `stop()` turned true, or a run cannot go on (`problem`)."""
        for choice, requests in self.parsed.groups.items():
            if stop() or not self._group(choice, requests, stop):
                return False
        return True

    def _folder(self, choice: Choice) -> Path:
        return self.root / "groups" / choice.key()

    def _runs(self, choice: Choice) -> Iterator[Path]:
        """Places for its run, the newest first, then the next free one. Where no run.json is, the kill came first."""
        number = 1
        while (place := self._folder(choice) / f"run-{number}").exists():
            number += 1
        yield from (self._folder(choice) / f"run-{each}" for each in range(number - 1, 0, -1))
        yield place

    def _run_of(self, choice: Choice) -> RunFolder | None:
        found = (place for place in self._runs(choice) if (place / "run.json").is_file())
        return next((RunFolder(place.resolve()) for place in found), None)

    def _group(self, choice: Choice, requests: list[Request], stop: Callable[[], bool]) -> bool:
        folder = self._folder(choice)
        with storage(f"cannot create {folder}"):
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        console = folder / "console.log"
        code = EXIT_OK
        for _ in range(MOST_LIVES):
            if (run := self._run_of(choice)) is not None:
                state = state_of(run, read_identity(run))
                while state == "running" and not stop():  # it outlived the one that started it, and holds its lock
                    time.sleep(TURN_S)
                    state = state_of(run, read_identity(run))
                if state == "finished":
                    return True
            if stop():
                return False
            if run is not None:
                code = trial.go_on(run.root, console, stop).exit_code
            else:
                words = self._words(choice, requests)
                code = trial.run(words, list(self._runs(choice))[-1].resolve(), console, stop=stop).exit_code
            if code == EXIT_USAGE and self._run_of(choice) is None:
                self._refused[choice] = _last_error(console)
                return True
            if code in (EXIT_OK, EXIT_DOCUMENTS_FAILED) and self._run_of(choice) is None:
                break
        if (run := self._run_of(choice)) is not None and state_of(run, read_identity(run)) == "finished":
            return True
        if not stop():
            busy = "the device is busy" if code == EXIT_BUSY else f"a run ended with exit code {code}"
            self.problem = f"{busy}: {_last_error(console)}"
        return False

    def _words(self, choice: Choice, requests: list[Request]) -> list[str]:
        """What is behind `runner` for one group; writes the files that the words name."""
        folder = self._folder(choice).resolve()
        rows = ({"id": str(each.line), "text": each.text, "custom_id": each.custom_id} for each in requests)
        text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
        write_bytes(folder / "input.jsonl", text.encode())
        words = [
            *self.words,
            f"input={quote(str(folder / 'input.jsonl'))}",
            "job=prompt",
            "job.template='{{ document }}'",
            "job.max_chunks=1",  # what is longer than the context is not cut: it is answered as an error
            "ingest.jsonl.text_field=text",
            "ingest.jsonl.id_field=id",
            "on_busy=wait",
        ]
        if choice.system is not None:
            words.append(f"job.system_prompt={quote(_literal(choice.system))}")
        numbers = {
            "job.max_tokens": choice.max_tokens, "sampling.temperature": choice.temperature,
            "sampling.top_p": choice.top_p, "sampling.seed": choice.seed,
        }  # fmt: skip
        words += [f"{key}={value}" for key, value in numbers.items() if value is not None]
        if choice.schema is not None:
            write_bytes(folder / "schema.json", choice.schema.encode())
            held = _can_be_held(choice.schema, choice.max_tokens)
            words += [f"job.schema={quote(str(folder / 'schema.json'))}", f"job.constrain={str(held).lower()}"]
        return words

    # ---- what came of it ----

    def counts(self) -> dict[str, int]:
        """OpenAI's request_counts, as far as the runs have come. From any thread."""
        total, done = len(self.parsed.requests), Counter[str]()
        for choice, tail in self._tails.items():
            if choice in self._refused:
                done["failed"] += len(self.parsed.groups[choice])
            elif (run := self._run_of(choice)) is not None:
                done += tail.look(run.results)
        refusals = sum(request.refusal is not None for request in self.parsed.requests)
        return {"total": total, "completed": done["completed"], "failed": done["failed"] + refusals}

    def lines(self, left: tuple[str, str] | None = None) -> tuple[list[Line], list[Line]]:
        """The output file and the error file, in the order of the input. `left`: code and message for what did not
        run; without it that is an error of the server."""
        made: dict[int, Line] = {}
        for choice, requests in self.parsed.groups.items():
            made.update(self._of_group(choice, requests))
        output: list[Line] = []
        errors: list[Line] = []
        for request in self.parsed.requests:
            line = made.get(request.line)
            if request.refusal is not None:
                line = refused(self.name, request, request.refusal)
            elif line is None and left is not None:
                line = not_run(self.name, request, *left)
            elif line is None:
                line = failed(self.name, request, "server_error", "the run made no result for this request")
            right = line["response"] is not None and line["response"]["status_code"] == 200
            (output if right else errors).append(line)
        return output, errors

    def _of_group(self, choice: Choice, requests: list[Request]) -> Iterator[tuple[int, Line]]:
        if choice in self._refused:
            for request in requests:
                yield request.line, refused(self.name, request, Refusal("invalid_value", self._refused[choice]))
            return
        run = self._run_of(choice)
        if run is None or not run.results.is_file():
            return
        by_line = {str(request.line): request for request in requests}
        with storage(f"cannot read {run.results}"):
            source = Source(self.name, read_identity(run).model, int(run.run_json.stat().st_mtime))
            raws = run.results.read_bytes().splitlines(keepends=True)
        for raw in raws:
            if raw.endswith(b"\n"):  # a run that was stopped hard may leave half a line
                result: dict[str, Any] = json.loads(raw)
                request = by_line[result["source"].rpartition("#")[2]]
                yield request.line, answered(source, request, result)


def _literal(text: str) -> str:
    """Nobody's system message is an interpolation of the configuration: `${` loses its meaning."""
    parts = text.split("${")
    for index, part in enumerate(parts[:-1]):
        parts[index] = part + "\\" * (len(part) - len(part.rstrip("\\"))) + "\\"
    return "${".join(parts)


def _can_be_held(text: str, max_tokens: int | None) -> bool:
    """Whether answers can be held to the schema while they are written: every part of it bounded, and room for the
    longest. Others are checked when they are done, and repaired once."""
    from runner.answer.lint import lint

    linted = lint(json.loads(text))
    needed = -(-linted.characters // CHARACTERS_PER_TOKEN)
    return linted.grammar is not None and max_tokens is not None and needed <= max_tokens


def _last_error(console: Path) -> str:
    """What a run said last, for people."""
    with storage(f"cannot read {console}"):
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("error:")]
    said = lines[starts[-1] :] if starts else lines[-3:]
    return " ".join(line.strip() for line in said)[:1000].removeprefix("error: ")
