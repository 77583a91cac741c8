"""The tree as the house rules see it: which files there are, and Rust source with comments and texts blanked out.

Knows no rule. Called by every test in this folder.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".venv", "target", "outputs", "dist", "__pycache__", "node_modules"}


@cache
def files() -> tuple[Path, ...]:
    """Files that git tracks or would track, relative to the root; in an unpacked sdist every file."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
        found = [Path(name) for name in listed.split("\0") if name]
    else:
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return tuple(sorted(p for p in found if not SKIPPED & set(p.parts) and (ROOT / p).is_file()))


def under(*starts: str, suffix: str = "") -> list[Path]:
    """Files below the folders `starts` whose name ends with `suffix`."""
    return [p for p in files() if p.name.endswith(suffix) and (not starts or p.parts[0] in starts)]


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


RUST_TOKEN = re.compile(
    r"""//[^\n]*                                   # a line comment
      | /\*.*?\*/                                  # a block comment (ours do not nest)
      | b?r(?P<h>\#*)".*?"(?P=h)                   # a raw string
      | b?"(?:\\.|[^"\\])*"                        # a string
      | b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\])'      # a character, never a lifetime: that has no closing quote
    """,
    re.VERBOSE | re.DOTALL,
)


def rust_code(text: str) -> str:
    """The text with comments and literals turned to spaces; lines stay where they are."""
    return RUST_TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def rust_without_tests(code: str) -> str:
    """Blanked code without its `#[cfg(test)]` or `#[cfg(all(test, ...))]` modules, each of which ends at its brace."""
    pattern = re.compile(r"#\[cfg\((?:all\()?(?:test|loom)\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub )?mod \w+ \{")
    while match := pattern.search(code):
        end = closing_brace(code, match.end() - 1)
        code = code[: match.start()] + re.sub(r"[^\n]", " ", code[match.start() : end + 1]) + code[end + 1 :]
    return code


def closing_brace(code: str, start: int) -> int:
    """Index of the brace that closes the one at `start`, in blanked code."""
    depth = 0
    for index in range(start, len(code)):
        if code[index] == "{":
            depth += 1
        elif code[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return len(code) - 1
