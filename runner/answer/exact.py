"""JSON whose numbers are what was written: to a binary fraction 0.57 is no multiple of 0.01.

Pure. Used wherever an answer is held against a schema: structured and evidence.
"""

from __future__ import annotations

import decimal
import json
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, Final

_DIGITS: Final = 1000
"""Of the arithmetic, more than any number that is read as a decimal has."""


def loads(text: str) -> Any:
    """Fractions are decimals. ValueError for what is no JSON, and for a number out of range."""
    return json.loads(text, parse_float=_decimal)


def arithmetic() -> AbstractContextManager[decimal.Context]:
    """In it jsonschema computes with such numbers exactly."""
    return decimal.localcontext(prec=_DIGITS)


def _decimal(text: str) -> Decimal | int:
    """As written; whole ones stay integers to the schema."""
    number = Decimal(text)
    if abs(number.adjusted()) > _DIGITS // 4:
        raise ValueError(f"the number {text[:40]} is out of range")
    return int(number) if number == number.to_integral_value() else number
