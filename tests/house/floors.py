"""The floors of DESIGN section 8 as data, and the checks: imports go down, or left on one's own line, never round.

Deferred imports and TYPE_CHECKING blocks count. Called by test_floors.py; reads files, runs nothing.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.house import tree

# Ground first. A room imports rooms of lower floors and rooms to its left.
PYTHON_FLOORS: tuple[tuple[str, ...], ...] = (
    ("__init__", "_native", "errors", "layout", "machine", "display"),
    ("log", "metrics", "answer", "config", "models", "predict"),
    (
        "structured",
        "channel",
        "engine",
        "store",
        "index",
        "alerts",
        "tuning",
        "monitor",
        "adapt",
        "progress",
        "timeline",
        "compare",
        "report",
    ),
    ("supervise", "guard", "worker", "extractor"),
    ("run", "trial", "sweep", "prove", "search", "bench", "validate", "nights", "batch", "serve"),
    ("commands",),
    ("cli", "__main__"),
)

# Package -> the rooms that may import it. hydra_plugins/ is outside the package and free.
ONLY: dict[str, tuple[str, ...]] = {
    "hydra": ("cli", "config"),
    "omegaconf": ("cli", "config"),
    "llguidance": ("answer", "engine"),
    "mlx": ("engine",),
    "mlx_lm": ("engine",),
    "transformers": ("engine",),
    "structlog": ("log",),
    "pdf_oxide": ("extractor",),
    "starlette": ("serve",),
    "uvicorn": ("serve",),
    "subprocess": ("alerts", "supervise", "trial", "tuning", "models", "nights"),
}


def python_imports(text: str, parts: tuple[str, ...]) -> Iterator[str]:
    """Dotted names of everything a module imports, wherever in it. `parts`: the module's own dotted path."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            stem = ".".join(filter(None, (base, node.module)))
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def python_problems(
    modules: Mapping[tuple[str, ...], str],
    floors: Sequence[Sequence[str]] = PYTHON_FLOORS,
    only: Mapping[str, Sequence[str]] = ONLY,
    package: str = "runner",
) -> list[str]:
    """`modules`: dotted path below the package, e.g. ("config", "door"), to source."""
    place = {name: (floor, left) for floor, row in enumerate(floors) for left, name in enumerate(row)}
    problems = set()
    for parts, text in modules.items():
        me = parts[0]
        if me not in place:
            problems.add(f"{'/'.join(parts)}: room '{me}' stands on no floor; give it one in tests/house/floors.py")
            continue
        for name in python_imports(text, (package, *parts)):
            top, *rest = name.split(".")
            other = rest[0] if rest else None
            if top == package and other in place and other != me and place[other] >= place[me]:
                problems.add(f"{'/'.join(parts)}: {me} imports {other}, which is above it or to its right")
            if top in only and me not in only[top]:
                problems.add(f"{'/'.join(parts)}: only {', '.join(only[top])} may import {top}")
    return sorted(problems)


def python_graph(modules: Mapping[tuple[str, ...], str], package: str = "runner") -> dict[str, set[str]]:
    """Module -> modules it imports, file by file."""
    graph: dict[str, set[str]] = {}
    for parts, text in modules.items():
        edges = graph.setdefault("/".join(parts), set())
        for name in python_imports(text, (package, *parts)):
            top, *rest = name.split(".")
            path = tuple(rest)
            while top == package and path:
                target = path if path in modules else (*path, "__init__")
                if target in modules:
                    edges.add("/".join(target))
                    break
                path = path[:-1]
        edges.discard("/".join(parts))
    return graph


def rust_table(lib: str) -> list[list[str]]:
    """The floors in the doc comment of lib.rs, ground first; a room is `name` or `folder/name`."""
    cells = re.findall(r"(?:^//!|\|) +(\d) ([a-z0-9_/ ]+?)(?= *(?:\||$))", lib, re.MULTILINE)
    return [names.split() for _, names in sorted(cells)]


def rust_room(module: str, places: Mapping[str, tuple[int, int]]) -> str | None:
    """`journal/record` -> `journal` when the table has only that; the longest name wins."""
    while module:
        if module in places:
            return module
        module = module.rpartition("/")[0]
    return None


def _group(code: str, start: int) -> Iterator[str]:
    """Every path of a `{a, b::{c, d}}` group that opens at `start`, with `::`."""
    inner = code[start + 1 : tree.closing_brace(code, start)]
    depth, item = 0, ""
    for char in inner + ",":
        depth += (char == "{") - (char == "}")
        if char != "," or depth:
            item += char
            continue
        stem, brace, _ = item.strip().partition("::{")
        if brace:
            yield from (f"{stem}::{rest}" for rest in _group(item, item.index("{")))
        elif stem:
            yield re.split(r"\s", stem)[0]
        item = ""


def rust_imports(code: str, module: str) -> Iterator[str]:
    """Paths after `crate::` and `super::` with slashes; `code` is blanked and without its test modules."""
    parent = module.rpartition("/")[0]
    for match in re.finditer(r"\b(crate|super)::(?:(\w+(?:::\w+)*)(::\{)?|\{)", code):
        stem = [parent] if match.group(1) == "super" and parent else []
        stem += match.group(2).split("::") if match.group(2) else []
        group = code[match.end() - 1] == "{"
        for item in _group(code, match.end() - 1) if group else [""]:
            yield "/".join(filter(None, [*stem, item.replace("::", "/")]))


def rust_problems(modules: Mapping[str, str], lib: str) -> list[str]:
    """`modules`: `channel/port` to blanked code without tests; a folder's mod.rs is the folder's name."""
    table = rust_table(lib)
    places = {name: (floor, left) for floor, row in enumerate(table) for left, name in enumerate(row)}
    folders = {name.rpartition("/")[0] for name in places if "/" in name}
    problems = set()
    for module, code in modules.items():
        me = rust_room(module, places)
        if me is None:
            if module not in folders:  # a folder's mod.rs only lists its rooms
                problems.add(f"{module}.rs stands on no floor; give it one in the table of native/src/lib.rs")
            continue
        for name in rust_imports(code, module):
            other = rust_room(name, places)
            if other and other != me and places[other] >= places[me]:
                problems.add(f"{module}.rs: {me} uses {other}, which is above it or to its right")
    return sorted(problems)


def rust_graph(modules: Mapping[str, str]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for module, code in modules.items():
        edges = graph.setdefault(module, set())
        for name in rust_imports(code, module):
            while name and name not in modules:
                name = name.rpartition("/")[0]
            # A child that names its folder's own types is not a circle: mod.rs is where they are declared.
            if name and name != module and not module.startswith(name + "/"):
                edges.add(name)
    return graph


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle of the graph, or nothing."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if found := walk(other, [*path, node]):
                return found
        done.add(node)
        return []

    for node in sorted(graph):
        if found := walk(node, []):
            return found
    return []


def python_modules() -> dict[tuple[str, ...], str]:
    found = tree.under("runner", suffix=".py")
    return {p.relative_to("runner").with_suffix("").parts: tree.read(p) for p in found}


def rust_modules() -> dict[str, str]:
    """Rooms of the crate; `tests/`, `tests.rs` and `x_tests.rs` are tests and may use anything."""
    source = Path("native/src")
    found = {}
    for path in tree.under("native", suffix=".rs"):
        is_test = path.stem.endswith("tests") or "tests" in path.parts
        if path.is_relative_to(source) and path.name != "lib.rs" and not is_test:
            name = path.relative_to(source).with_suffix("").as_posix().removesuffix("/mod")
            found[name] = tree.rust_without_tests(tree.rust_code(tree.read(path)))
    return found
