"""The words after `runner` before Hydra sees them: literal values quoted, `profile=` given its plus, `auto`
replaced.

Pure text and one look at the file system (is `[x]` a file or a list). Imports no Hydra. Called by cli, plan and
resume.
"""

import difflib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runner.errors import UsageError
from runner.machine import Machine, choose_profile

# Their values are taken literally: a comma in a path starts no sweep and a bracket no list.
LITERAL_KEYS = (
    "input",
    "ingest.files_from",
    "ingest.files0_from",
    "ingest.stdin_name",
    "output.dir",
    "output.run_dir",
    "model.path",
    "model.script",
    "job.template",
    "job.template_file",
    "job.system_prompt",
    "job.reduce_template",
    "job.answer_prefix",
)
_ASSIGNMENT = re.compile(r"(?P<plus>\+{0,2})(?P<key>[A-Za-z_][\w./@]*)=(?P<value>.*)", re.DOTALL)
# Flags of Hydra that stand alone, and those that take a value as the next word.
_PLAIN_FLAGS = frozenset({
    "--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion",
    "-sc",
})  # fmt: skip
# Each says what is to be done, so that only one can be given.
_ACTIONS = frozenset({"--run", "-r", "--multirun", "-m", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc"})
_VALUE_FLAGS = frozenset({
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--info", "-i", "--experimental-rerun",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """`argv` for Hydra, split: flags first, overrides after. `profiles` are the names stacked, empty in a sweep
    over several."""

    flags: tuple[str, ...]
    overrides: tuple[str, ...]
    profiles: tuple[str, ...]
    chosen_by: Literal["user", "machine"]
    reason: str
    config_dir: str | None
    multirun: bool


def quote(value: str) -> str:
    """`value` as a quoted string of Hydra's grammar: a backslash needs escaping only before a quote."""
    body = re.sub(r"(\\*)(')", lambda m: m[1] * 2 + "\\'", value)
    trailing = len(body) - len(body.rstrip("\\"))
    return "'" + body + "\\" * trailing + "'"


def unquote(value: str) -> str | None:
    """The text of a quoted string of Hydra's grammar, None for anything else: what was quoted once stays as it is,
    which is how recorded overrides and the jobs of a sweep come back."""
    if len(value) < 2 or value[0] not in "'\"" or value[-1] != value[0]:
        return None
    mark, body = value[0], value[1:-1]
    if re.fullmatch(rf"(?:[^{mark}\\]|\\[^{mark}\\]|(?:\\\\)*\\{mark}|\\\\)*", body) is None:
        return None
    text = re.sub(rf"(\\+){mark}", lambda m: m[1][: len(m[1]) // 2] + mark, body)
    trailing = len(text) - len(text.rstrip("\\"))
    return text[: len(text) - trailing] + "\\" * (trailing // 2)


def literal_value(key: str, value: str) -> str:
    """The value of a literal key for Hydra. null, an interpolation, a quoted string and, for `input`, a list keep
    their meaning, unless a file of that very name is there."""
    if value in ("null", "") or (value.startswith("${") and value.endswith("}")):
        return value or "''"
    if os.path.lexists(value):
        return quote(value)
    if key == "input" and value.startswith("[") and value.endswith("]"):
        return "[" + ",".join(quote(item) for item in split_list(value)) + "]"
    text = unquote(value)
    return quote(value if text is None else text)


def split_list(text: str) -> list[str]:
    """Items of `[a, b]` or of a JSON list; an item may stand in quotes to keep its comma."""
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed):
        return [str(item) for item in parsed]
    items = re.findall(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|$)""", text[1:-1])
    out = [re.sub(r"\\(['\"])", r"\1", single or double) or bare.strip() for single, double, bare in items]
    return [item for item in out if item]


def _rewrite(word: str) -> str:
    match = _ASSIGNMENT.fullmatch(word)
    if match is None:
        return word
    plus, key, value = match["plus"], match["key"], match["value"]
    if key == "profile":
        return f"+profile={value}"
    if key in LITERAL_KEYS:
        return f"{plus}{key}={literal_value(key, value)}"
    if key in ("job.schema", "job.fields") and not value.startswith(("{", "'", '"')) and value != "null":
        return f"{plus}{key}={quote(value)}"
    return word


def profile_names(overrides: Sequence[str]) -> tuple[str, ...]:
    """Names stacked by the last `+profile=` of the overrides of one job."""
    names: tuple[str, ...] = ()
    for word in overrides:
        match = _ASSIGNMENT.fullmatch(word)
        if match is not None and match["key"] == "profile":
            names = tuple(part.strip(" '\"") for part in match["value"].strip("[] ").split(",") if part.strip(" '\""))
    return names


def explicit_keys(overrides: Sequence[str]) -> frozenset[str]:
    """Keys and groups that the command line itself sets; `fit` never changes these."""
    keys = (m["key"] for word in overrides if (m := _ASSIGNMENT.fullmatch(word)))
    return frozenset(key for key in keys if key != "profile")


def read_words(argv: Sequence[str], machine: Machine) -> Words:
    """Split and rewrite. With no profile, and for `+profile=auto`, the one that fits `machine` is put in."""
    flags: list[str] = []
    overrides: list[str] = []
    config_dir: str | None = None
    actions: set[str] = set()
    words = iter(argv)
    for word in words:
        name, _, attached = word.partition("=")
        if word.startswith("-"):
            if name not in _PLAIN_FLAGS | _VALUE_FLAGS:
                raise _no_option(name)
            actions |= {name} & _ACTIONS
            flags.append(word)
            value = attached
            if name in _VALUE_FLAGS and "=" not in word:
                value = next(words, "")
                flags.append(value)
            if name in ("--config-dir", "-cd"):
                config_dir = value
        elif "=" in word or word.startswith("~"):
            overrides.append(_rewrite(word))
        else:
            meant = f"did you mean input='{word}'? " if os.path.lexists(word) else ""
            raise UsageError(f"'{word}' is no override: it has no '='", f"{meant}overrides are written KEY=VALUE")
    if len(actions) > 1:
        raise UsageError(f"{' and '.join(sorted(actions))} cannot be given together", "leave all but one out")
    bad = next((word for word in overrides if not word.isprintable() and not _encodable(word)), None)
    if bad is not None:
        raise UsageError(f"{bad!r} is not valid UTF-8", "rename the folder, or give its parent as input")
    best, why = choose_profile(machine)
    reason, chosen_by = "", "user"
    for index, word in enumerate(overrides):
        if word.startswith("+profile="):
            replaced = re.sub(r"(?<![\w.-])auto(?![\w.-])", best, word)
            if replaced != word:
                overrides[index], reason = replaced, why
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    if not any(word.startswith("+profile=") for word in overrides):
        overrides.insert(0, f"+profile={best}")
        reason, chosen_by = why, "machine"
    elif reason:
        chosen_by = "machine"
    names = profile_names(overrides)
    return Words(
        flags=tuple(flags),
        overrides=tuple(overrides),
        profiles=names,
        chosen_by="machine" if chosen_by == "machine" else "user",
        reason=reason,
        config_dir=config_dir,
        multirun=multirun,
    )


def _no_option(name: str) -> UsageError:
    near = difflib.get_close_matches(name, _PLAIN_FLAGS | _VALUE_FLAGS | {"--json"}, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"there is no option '{name}'", f"{meant}runner --help lists what there is")


def words_of_job(overrides: Sequence[str]) -> Words:
    """One job of a sweep: its overrides come from Hydra, rewritten and with a profile in them already."""
    return Words((), tuple(overrides), profile_names(overrides), "user", "", None, False)


def _encodable(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
