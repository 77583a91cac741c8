"""Between the frozen dataclasses of `schema` and the mappings that Hydra composes: `hydra_schema` down, `freeze`
up.

OmegaConf makes a frozen dataclass read-only and knows no Literal, so Hydra gets a mutable twin where every value is
missing ("???") until a file of conf/ or profiles/ gives it. Imports no Hydra.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from runner.config.schema import Tree
from runner.errors import Problem

MISSING = "???"
_UNFINISHED = object()
T = TypeVar("T")


def hydra_schema(cls: type) -> type:
    """The mutable twin of a frozen dataclass, all fields missing."""
    hints = typing.get_type_hints(cls)
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            twin = hydra_schema(hint)
            fields.append((field.name, twin, dataclasses.field(default_factory=twin)))
        else:
            fields.append((field.name, _omega_type(hint), dataclasses.field(default=MISSING)))
    return dataclasses.make_dataclass(cls.__name__, fields)


def _entry(hint: Any) -> type | None:
    """The dataclass of a mapping from names to dataclasses."""
    each = typing.get_args(hint)[1] if typing.get_origin(hint) is dict else None
    return each if isinstance(each, type) and dataclasses.is_dataclass(each) else None


def _omega_type(hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return str
    if origin is tuple:
        return list[typing.get_args(hint)[0]]  # type: ignore[misc]
    if _entry(hint) is not None:
        return dict[str, Any]  # OmegaConf takes no new entry of a typed one from the command line: `_entries` checks
    if origin in (types.UnionType, typing.Union):
        inner = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
        return typing.Optional[_omega_type(inner[0])]  # noqa: UP045 - made from a value
    return hint


def freeze(cls: type[T], data: Mapping[str, Any], problems: list[Problem], at: str = "") -> T | None:
    """An instance of `cls` from a plain mapping whose types Hydra has checked; None when a value is missing. Other
    problems leave the value as it is, so that the checks after this one can add theirs."""
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    problems += [unknown_key(f"{at}{name}") for name in data if name not in names]
    complete = True
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        key = f"{at}{field.name}"
        hint, value = hints[field.name], data.get(field.name, MISSING)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if isinstance(value, Mapping) and any(each != MISSING for each in value.values()):
                values[field.name] = freeze(hint, value, problems, f"{key}.")
                complete &= values[field.name] is not None
            else:
                complete = False
                problems.append(Problem(f"{key} was taken away, a run needs it", f"leave '~{key}' out"))
        elif isinstance(value, str) and value == MISSING:
            complete = False
            group = key.split(".", maxsplit=1)[0]
            problems.append(
                Problem(
                    f"{key} has no value: every key needs one from conf/, profiles/ or the command line",
                    f"write {key}=VALUE, or start your own file of group {group} with 'defaults: [auto]'",
                )
            )
        else:
            values[field.name] = _value(hint, value, key, problems)
            complete &= values[field.name] is not _UNFINISHED
    return cls(**values) if complete else None


def all_keys() -> list[str]:
    """Every key of the schema, dotted."""

    def walk(cls: type, at: str) -> list[str]:
        out: list[str] = []
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            out.append(at + field.name)
            if dataclasses.is_dataclass(hints[field.name]):
                out += walk(hints[field.name], f"{at}{field.name}.")
        return out

    return walk(Tree, "")


def unknown_key(key: str) -> Problem:
    """A key that no schema has, with the nearest one that some has."""
    near = difflib.get_close_matches(key, all_keys(), 1, 0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    return Problem(f"there is no key '{key}'", f"{meant}runner --cfg job prints all keys")


def _named(cls: type, value: Any, key: str, problems: list[Problem]) -> Any:
    """One entry of a mapping, whose types nobody has checked yet. What may be null may be left out."""
    hints = typing.get_type_hints(cls)
    if not isinstance(value, Mapping):
        problems.append(Problem(f"{key} is {value!r}, it must hold {', '.join(hints)}", f"'~{key}' takes it away"))
        return None
    optional = [name for name, hint in hints.items() if types.NoneType in typing.get_args(hint)]
    given = {**dict.fromkeys(optional), **value}
    for name, hint in hints.items():
        kinds = [kind for kind in (typing.get_args(hint) if name in optional else (hint,)) if isinstance(kind, type)]
        seen = given.get(name, MISSING)
        taken = (int, float, *kinds) if float in kinds else tuple(kinds)
        if kinds and seen != MISSING and (isinstance(seen, bool) or not isinstance(seen, taken)):
            wanted = "a number" if float in kinds else "text"
            problems.append(Problem(f"{key}.{name} is {seen!r}, it must be {wanted}", f"correct {key}.{name}"))
            return None
    return freeze(cls, given, problems, f"{key}.")


def _value(hint: Any, value: Any, key: str, problems: list[Problem]) -> Any:
    origin = typing.get_origin(hint)
    if (each := _entry(hint)) is not None:
        found = {name: _named(each, fields, f"{key}.{name}", problems) for name, fields in (value or {}).items()}
        return found if None not in found.values() else _UNFINISHED
    if origin is Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            problems.append(
                Problem(f"{key} is {value!r}, it must be one of: {', '.join(allowed)}", f"{key}={allowed[0]}")
            )
        return value
    if origin is tuple:
        if value is None:
            problems.append(Problem(f"{key} is null, it must be a list", f"'{key}=[]' is the empty list"))
            return ()
        return tuple(value)
    return value
