"""Imports go down the floors, a few packages have few importers, nothing goes round. Each rule is broken on purpose."""

import pytest

from tests.house import floors, tree

LIB = "//! Floors:\n//!   2 py | 1 journal channel/port\n//!   0 error channel/ring\n"


def test_python_rooms_import_only_what_is_below_or_to_the_left() -> None:
    assert floors.python_problems(floors.python_modules()) == []


def test_python_modules_do_not_import_each_other_in_a_circle() -> None:
    assert floors.cycle(floors.python_graph(floors.python_modules())) == []


def test_rust_rooms_use_only_what_is_below_or_to_the_left() -> None:
    assert floors.rust_problems(floors.rust_modules(), tree.read(tree.Path("native/src/lib.rs"))) == []


def test_rust_modules_do_not_use_each_other_in_a_circle() -> None:
    assert floors.cycle(floors.rust_graph(floors.rust_modules())) == []


def test_every_floor_of_lib_rs_is_read() -> None:
    table = floors.rust_table(tree.read(tree.Path("native/src/lib.rs")))
    assert len(table) == 7
    assert table[-1] == ["py"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import runner.cli", "config imports cli"),
        ("from runner import cli", "config imports cli"),
        ("from runner.run import execute", "config imports run"),
        ("def f():\n    from runner.store import x", "config imports store"),
        ("import typing\nif typing.TYPE_CHECKING:\n    from runner.models import x", "config imports models"),
        ("from .. import cli", "config imports cli"),
        ("import mlx.core as mx", "only engine may import mlx"),
        ("import subprocess", "may import subprocess"),
    ],
)
def test_a_planted_upward_or_foreign_import_is_seen(source: str, says: str) -> None:
    (problem,) = floors.python_problems({("config", "door"): source})
    assert says in problem


def test_a_planted_room_without_a_floor_is_seen() -> None:
    assert floors.python_problems({("attic",): ""}) != []
    assert floors.rust_problems({"attic": ""}, LIB) != []


def test_imports_downwards_and_to_the_left_are_free() -> None:
    assert floors.python_problems({("models", "a"): "from runner.config import x\nimport runner.errors"}) == []
    port = "use crate::{error::Error, journal::Journal}; use super::ring;"
    assert floors.rust_problems({"channel/port": port}, LIB) == []


@pytest.mark.parametrize(
    "source",
    [
        "use crate::py::x;",
        "use crate::{error::Error, py::{a, b}};",
        "fn f() { crate::channel::port::g() }",
        "use crate::{channel::{ring, port}};",
    ],
)
def test_a_planted_upward_use_in_rust_is_seen(source: str) -> None:
    assert floors.rust_problems({"journal/record": source}, LIB) != []


def test_a_use_in_a_comment_a_text_or_a_test_module_does_not_count() -> None:
    text = '// crate::py\nconst A: &str = "crate::py";\n#[cfg(test)]\nmod tests { use crate::py; }\n'
    code = tree.rust_without_tests(tree.rust_code(text))
    assert floors.rust_problems({"error": code}, LIB) == []


def test_a_planted_circle_is_seen_in_both_languages() -> None:
    python = {("config", "a"): "from runner.config import b", ("config", "b"): "def f():\n    import runner.config.a"}
    assert floors.cycle(floors.python_graph(python)) == ["config/a", "config/b", "config/a"]
    rust = {"journal/a": "use super::b;", "journal/b": "use crate::journal::a::X;"}
    assert floors.cycle(floors.rust_graph(rust)) == ["journal/a", "journal/b", "journal/a"]
