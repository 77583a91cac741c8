"""The style page holds for every file, and each rule notices a planted sample that breaks it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.house import rules, tree

SOURCES = [p for p in tree.files() if p.suffix in {".py", ".rs", ".sh", ".c", ".cpp", ".hpp"}]
PYTHON = [p for p in SOURCES if p.suffix == ".py"]
RUST = [p for p in SOURCES if p.suffix == ".rs"]
CONF = [p for p in tree.under("conf", "profiles") if p.suffix == ".yaml"]
# Cargo.lock names its registry by design; the corpus is other people's text.
TEXT_SUFFIXES = {
    ".py",
    ".pyi",
    ".rs",
    ".sh",
    ".c",
    ".h",
    ".cpp",
    ".hpp",
    ".toml",
    ".yaml",
    ".yml",
    ".md",
    ".txt",
    ".bats",
}
TEXT_SUFFIXES |= {".json", ".pml", ""}
TEXTS = [
    p
    for p in tree.files()
    if p.suffix in TEXT_SUFFIXES and p.name != "Cargo.lock" and p.parts[:2] != ("examples", "documents")
]

Rule = Callable[[Path, str], Iterable[str]]


def problems(rule: Rule, paths: Iterable[Path]) -> list[str]:
    return [problem for path in paths for problem in rule(path, tree.read(path))]


def test_files_and_functions_keep_their_bounds_or_stand_in_the_list_with_a_reason() -> None:
    found = {problem.split(": ")[0]: problem for problem in problems(rules.too_long, SOURCES)}
    assert [text for key, text in found.items() if key not in rules.SIZE_EXCEPTIONS] == []
    assert sorted(set(rules.SIZE_EXCEPTIONS) - set(found)) == [], "no longer needed: take them out of the list"
    assert all(reason.strip() for reason in rules.SIZE_EXCEPTIONS.values())


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert problems(rules.banned_name, SOURCES) == []


def test_every_module_opens_with_its_purpose() -> None:
    assert problems(rules.no_purpose, SOURCES) == []


def test_unsafe_stays_at_home_and_says_why_it_is_sound() -> None:
    assert problems(rules.unsafe_unsaid, RUST) == []


def test_every_file_with_atomics_names_their_partners() -> None:
    assert problems(rules.atomic_unsaid, RUST) == []


def test_every_value_in_conf_and_profiles_is_explained_in_its_group() -> None:
    groups = {path.parent for path in CONF}
    texts = [{path: tree.read(path) for path in CONF if path.parent == group} for group in sorted(groups)]
    assert [problem for group in texts for problem in rules.uncommented_values(group)] == []


def test_every_choice_in_conf_and_profiles_opens_with_what_it_is() -> None:
    assert problems(rules.no_opening, CONF) == []


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    assert problems(rules.foreign_place, TEXTS) == []


LONG = "def f():\n" + "    x = 1\n" * 70
PLANTED = [
    (rules.too_long, "runner/a.py", "x = 1\n" * 401),
    (rules.too_long, "runner/a.py", LONG),
    (rules.too_long, "native/src/a.rs", "fn f(a: [u8; 4]) {\n" + "    x();\n" * 70 + "}\n"),
    (rules.banned_name, "runner/utils.py", ""),
    (rules.banned_name, "runner/common/journal.py", ""),
    (rules.no_purpose, "runner/a.py", "import os\n"),
    (rules.no_purpose, "native/src/a.rs", "use std::io;\n"),
    (rules.no_purpose, "tuning/linux/a.sh", "#!/bin/sh\nset -eu\n"),
    (rules.unsafe_unsaid, "native/src/channel/a.rs", "fn f() {\n\n\n\n    unsafe { g() }\n}\n"),
    (rules.unsafe_unsaid, "native/src/channel/a.rs", 'struct C;\n\n\nunsafe extern "C" fn f() {}\n'),
    (rules.unsafe_unsaid, "native/src/tokens.rs", "// SAFETY: it is fine\nunsafe { g() }\n"),
    (rules.atomic_unsaid, "native/src/a.rs", "fn f(a: &AtomicU64) { a.store(1, Ordering::Release); }\n"),
    (rules.no_opening, "conf/a.yaml", "a: 1 # what\n"),
    (rules.foreign_place, "docs/a.md", "see /" + "home/anna/notes\n"),
    (rules.foreign_place, "constraints.txt", "# from https://pypi" + ".org/simple\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_breach_is_seen(rule: Rule, path: str, text: str) -> None:
    assert len(list(rule(Path(path), text))) == 1


INNOCENT = [
    (rules.too_long, "native/src/a.rs", "trait T {\n    fn f(&self);\n" + "    // x\n" * 80 + "}\n"),
    (rules.unsafe_unsaid, "native/src/channel/a.rs", "// SAFETY: p is valid\nunsafe { g(p) } // unsafe\n"),
    (rules.unsafe_unsaid, "native/src/channel/a.rs", 'struct C {\n    f: unsafe extern "C" fn(i32),\n}\n'),
    (rules.unsafe_unsaid, "native/src/tokens.rs", '#![deny(unsafe_code)]\nconst A: &str = "unsafe";\n'),
    (rules.atomic_unsaid, "native/src/a.rs", "// SYNC POINT: the load in b\na.store(1, Ordering::Release);\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), INNOCENT, ids=lambda value: getattr(value, "__name__", None))
def test_what_keeps_the_rule_is_left_alone(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Path(path), text)) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("a: 1\n", ["a"]),
        ("a:\n  b: 1 # what it does\n  c: 2\n", ["a.c"]),
        ("# text\ntemplate: |\n  Title: {{ title }}\n\n  Text: x\n\nc: 1\n", ["c"]),
        ("# a pair\na: 1\nb: 2\n\nc: 3\n", ["c"]),
        ("# all inside\na:\n  b: 1\n  c:\n    d: 2\ne: 3\n", []),
        ("a:\n  # inside alone\n  b: 1\nc: 2\n", ["c"]),
        ("defaults:\n  - override /job: qa\nname: x\na: 1 # what\n# why\nb: 2\n", []),
    ],
)
def test_a_value_without_a_comment_is_seen(text: str, missing: list[str]) -> None:
    assert [key for _, key, commented in rules.conf_values(text) if not commented and key != "name"] == missing
    found = list(rules.uncommented_values({Path("conf/x/a.yaml"): text}))
    assert len(found) == len(missing)


def test_a_comment_in_one_file_of_a_group_explains_the_key_for_all() -> None:
    group = {Path("conf/x/a.yaml"): "a: 1 # what\n", Path("conf/x/b.yaml"): "a: 2\n"}
    assert list(rules.uncommented_values(group)) == []
