"""Every exit code of errors.py is documented, and every documented one exists."""

import re
from pathlib import Path

from runner import errors
from tests.house import tree

CODES = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
# The table of the design, section 11: a code is an interface and changes with a CHANGELOG line only.
EXPECTED = {0, 1, 2, 3, 4, 5, 74, 75, 130, 143}


def documented(text: str) -> set[int]:
    """First cells of a table's rows that hold numbers alone: `| 74 |` or `| 130, 143 |`."""
    cells = re.findall(r"^\| *((?:`?\d+`?[, /]*)+) *\|", text, re.MULTILINE)
    return {int(code) for cell in cells for code in re.findall(r"\d+", cell)}


def test_the_codes_are_those_of_the_design() -> None:
    assert set(CODES.values()) == EXPECTED


def test_every_exit_code_is_documented_and_every_documented_one_exists() -> None:
    assert documented(tree.read(Path("docs/errors.md"))) == EXPECTED


def test_every_error_class_has_one_of_the_codes() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert {cls.exit_code for cls in classes} <= EXPECTED


def test_a_missing_row_is_seen() -> None:
    assert documented(
        "| code | meaning |\n|---|---|\n| 0 | ok |\n| `74` | storage |\n| 75 busy | |\n| 130, 143 | |\n"
    ) == {0, 74, 130, 143}
