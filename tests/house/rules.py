"""The style page as checks over text: sizes, names, purposes, SAFETY and SYNC POINT lines, conf comments, hosts, paths.

Each check takes a path and a text and returns problems; each problem names the cure. Called by test_style.py.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.house import tree

FILE_LINES = 400
FUNCTION_LINES = 70

# Past a bound with a reason. Key: path, or path::function. A line that is no longer needed fails the test too.
SIZE_EXCEPTIONS: dict[str, str] = {
    "native/src/py/channel.rs": "the Python face of both ports and of the probe; all PyO3 of the channel in one place",
}

BANNED_NAMES = {
    "util": "the noun it works on",
    "utils": "the noun it works on",
    "common": "the room that owns it, on a lower floor",
    "shared": "the room that owns it, on a lower floor",
    "helper": "the noun it works on",
    "helpers": "the noun it works on",
    "misc": "one room a noun",
    "manager": "what it does: supervise, store, schedule",
    "tools": "the verb: a sub-command, or a script in tuning/",
}

Line = Iterator[str]


def too_long(path: Path, text: str) -> Line:
    """File and function bounds of house-style section 5."""
    lines = text.count("\n") + (not text.endswith("\n") and text != "")
    if lines > FILE_LINES:
        yield f"{path}: {lines} lines, the bound is {FILE_LINES}; look for the two rooms it holds"
    functions = python_functions(text) if path.suffix == ".py" else rust_functions(text) if path.suffix == ".rs" else ()
    for name, length in functions:
        if length > FUNCTION_LINES:
            yield f"{path}::{name}: {length} lines, the bound is {FUNCTION_LINES}; cut it in two"


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.name, node.end_lineno - node.lineno + 1


def rust_functions(text: str) -> Iterator[tuple[str, int]]:
    code = tree.rust_code(text)
    for match in re.finditer(r"\bfn (\w+)", code):
        opens, ends = code.find("{", match.end()), code.find(";", match.end())
        # A declaration without a body ends before any brace; `[u8; 4]` in a signature has a semicolon as well.
        if opens < 0 or (0 <= ends < opens and "[" not in code[match.end() : ends]):
            continue
        yield match.group(1), code.count("\n", match.start(), tree.closing_brace(code, opens)) + 1


def banned_name(path: Path, _text: str) -> Line:
    for part in [*path.parts[:-1], path.stem]:
        if part.lower() in BANNED_NAMES:
            yield f"{path}: no module is called '{part}'; name it for {BANNED_NAMES[part.lower()]}"


def no_purpose(path: Path, text: str) -> Line:
    """Every module opens with what it is for."""
    if path.suffix == ".rs" and (path.stem.endswith("tests") or "tests" in path.parts):
        return  # the names of its tests say it
    if path.suffix == ".py":
        if text.strip() and not (ast.get_docstring(ast.parse(text)) or "").strip():
            yield f"{path}: opens with no docstring; say its purpose, what it does not do and who calls it"
    elif path.suffix == ".rs":
        if not text.startswith("//!"):
            yield f"{path}: opens with no `//!` line; say its purpose, what it does not do and who calls it"
    elif path.suffix == ".sh" and "# Summary:" not in "\n".join(text.splitlines()[:5]):
        yield f"{path}: opens with no `# Summary:` line"


# The type of a C function (`unsafe extern "C" fn(c_int)`) uses nothing: its calls do.
UNSAFE = re.compile(r"\bunsafe\b(?!_)(?! extern\s+fn\()")
UNSAFE_HOMES = (
    "native/src/channel/",
    "native/src/placement/",
    "native/src/extract/pdf/library.rs",
    "native/tests/",
    "native/benches/",
)


def unsafe_unsaid(path: Path, text: str) -> Line:
    """unsafe lives in these homes, each use with a SAFETY line (or a `# Safety` section) within three lines above."""
    code, lines = tree.rust_code(text), text.splitlines()
    for match in UNSAFE.finditer(code):
        number = code.count("\n", 0, match.start())
        if not path.as_posix().startswith(UNSAFE_HOMES):
            yield f"{path}:{number + 1}: unsafe outside channel/, placement/ and extract/pdf/library.rs; move it there"
        near = lines[max(0, number - 3) : number + 1]
        block = number - 1  # a comment block that ends just above counts as a whole
        while block >= 0 and re.match(r"\s*(//|#\[)", lines[block]):
            near.append(lines[block])
            block -= 1
        if not any(re.search(r"SAFETY|# Safety", line) for line in near):
            yield f"{path}:{number + 1}: unsafe without a SAFETY line within 3 lines; say why it is sound"


ATOMIC = re.compile(
    r"\bfence\(|\.(?:load|store|swap|fetch_\w+|compare_exchange\w*)"
    r"\([^;]*\b(?:Relaxed|Acquire|Release|AcqRel|SeqCst)\b"
)


def atomic_unsaid(path: Path, text: str) -> Line:
    """A file that orders memory names the partner of each atomic; tests and models with planted bugs need not."""
    if path.as_posix().startswith("native/model/"):
        return
    if (
        not path.stem.endswith("tests")
        and "tests" not in path.parts
        and ATOMIC.search(tree.rust_without_tests(tree.rust_code(text)))
        and "SYNC POINT:" not in text
    ):
        yield f"{path}: atomic operations and no `SYNC POINT:` line; name the partner of each"


DATA = {"defaults", "schema"}
"""Hydra's list of choices, and a user's JSON Schema: data, not settings."""


def conf_values(text: str) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted key, commented) of every value.

    A comment stands behind the value or above it; one above also covers what follows without a gap at the same depth,
    and everything inside. `defaults:` and `schema:` hold no settings; the body of a block text is one value.
    """
    block_indent: int | None = None
    stack: list[tuple[int, str, bool]] = []  # depth, key, covered by a comment above
    above = covers = False  # is the last line a comment; does it cover the siblings that follow
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if block_indent is not None and (not bare or indent > block_indent):
            continue
        block_indent = None
        match = re.match(r"(?:- )?([\w./@\"'$-]+):(?: +(.*))?$", bare)
        if not match or bare.startswith("#"):
            above, covers = bare.startswith("#"), covers and bool(bare)
            continue
        sibling = covers and any(depth == indent and covered for depth, _, covered in stack)
        stack = [entry for entry in stack if entry[0] < indent]
        inside = bool(stack) and stack[-1][2]
        stack.append((indent, match.group(1), above or sibling or inside))
        above, covers = False, True
        value = (match.group(2) or "").strip()
        if re.match(r"[|>][-+0-9]*(\s|$)", value):
            block_indent, covers = indent, False
        if value and not value.startswith("#") and stack[0][1] not in DATA:
            yield number, ".".join(key for _, key, _ in stack), "#" in value or stack[-1][2]


NEEDS_NONE = {"name"}
"""Keys that say what their file is; the file's first line says the rest."""


def uncommented_values(texts: Mapping[Path, str]) -> Line:
    """`texts`: the files of one group.

    A key is explained once in the group: what it does, the default, why this value.
    """
    found = {path: list(conf_values(text)) for path, text in texts.items()}
    explained = {key for values in found.values() for _, key, commented in values if commented} | NEEDS_NONE
    for path, values in found.items():
        for number, key, _ in values:
            if key not in explained:
                yield f"{path}:{number}: '{key}' has no comment in its group; say what it does and why this value"


def no_opening(path: Path, text: str) -> Line:
    """A file of conf/ or profiles/ opens with a comment that says what it is."""
    if not text.startswith("# "):
        yield f"{path}: opens with no comment; say what this choice is and for whom"


def _hidden(*parts: str) -> str:
    """A pattern written in pieces, so that this file does not match itself."""
    return "".join(parts)


FOREIGN = re.compile(
    "|".join(
        [
            _hidden(r"(?<![\w.$}])/", r"work/\w"),
            _hidden(r"(?<![\w.$}])/", r"root/\w"),
            _hidden(r"(?<![\w.$}])/", r"tmp/\w"),
            _hidden(r"(?<![\w.$}])/", r"home/\w"),
            _hidden(r"(?<![\w.$}])/", r"Users/\w"),
            _hidden("pypi", r"\.org"),
            _hidden("python", r"hosted\.org"),
            _hidden(r"(?:index|static)\.crates", r"\.io"),
            _hidden(r"deb\.", r"debian\.org"),
            _hidden("anaconda", r"\.(?:org|com)"),
        ]
    )
)


def foreign_place(path: Path, text: str) -> Line:
    """No path of somebody's machine and no registry host: the environment configures those."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := FOREIGN.search(line):
            yield f"{path}:{number}: '{match.group()}' is a machine's path or a registry's host: it stays out"
