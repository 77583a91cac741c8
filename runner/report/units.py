"""Numbers as people read them on a page: counts, rates, durations, sizes, shares. Pure. Called by the pages."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from runner.progress import bytes_text, duration_text

Show = Callable[[float], str]


def count(value: float) -> str:
    """1,814"""
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """Three digits that say something: 3,870, 42.8, 0.31."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def short(value: float) -> str:
    """For an axis: 2.5k, 40, 0.05."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 10_000 else f"{value:,g}"


def seconds(value: float) -> str:
    """From milliseconds to hours, two units at most."""
    if value < 1:
        return f"{value * 1000:.3g} ms" if value < 0.9995 else "1 s"
    value = round(value) if value >= 10 else value
    if value < 90 or value >= 5400:
        return f"{value:.1f} s" if value < 10 else duration_text(value)
    rest = f" {value % 60:.0f} s" if value % 60 else ""
    return f"{value // 60:.0f} min{rest}"


def size(value: float) -> str:
    """Bytes, KiB, MiB or GiB, with a digit behind the point where it says something."""
    if value < 2**20:
        return f"{value:.0f} B" if value < 1024 else f"{value / 1024:.3g} KiB"
    return bytes_text(int(value))


def share(part: float, whole: float) -> str:
    """A percentage that is 0 % or 100 % only when it really is."""
    if whole <= 0:
        return "-"
    value = 100 * part / whole
    if 0 < value < 1:
        return "< 1 %"
    return "> 99 %" if 99 < value < 100 else f"{value:.0f} %"


def clock(value: float) -> str:
    """For a time axis: 45 s, 12:30, 3:20:00."""
    whole = round(value)
    if value < 100:
        return f"{value:g} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def shell_word(word: str) -> str:
    """One word of a command line to copy: in double quotes where it holds only single ones, which reads better."""
    quoted = shlex.quote(word)
    return f'"{word}"' if quoted != word and not set(word) & set('"$`\\!') else quoted


def plural(number: int, word: str) -> str:
    """1 document, 2 documents."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
