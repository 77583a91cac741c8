"""The words of a sub-command, by argparse. No command itself; `version` does without, because scripts call it most."""

import argparse
import math
from collections.abc import Sequence
from typing import NoReturn

from runner.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A sub-command's words. A mistake in them is our error with the usage as its cure, not argparse's own text."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        raise UsageError(f"{self.prog}: {message}", " ".join(self.format_usage().split()))

    def parse_with_words(self, argv: Sequence[str]) -> argparse.Namespace:
        """`parse_args` for a command whose `words` may stand on both sides of its options, as Hydra's may."""
        options, others = self.parse_known_args(argv)
        if unknown := [word for word in others if word.startswith("-")]:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        options.words = [*options.words, *others]
        return options


# ---- types of options ----


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no count above 0")
    return int(text)


def positive(text: str) -> float:
    """A number above 0."""
    return _number(text, math.inf)


def share(text: str) -> float:
    """A number above 0 and below one half."""
    return _number(text, 0.5)


def _number(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < most:
        raise argparse.ArgumentTypeError(f"'{text}' is not above 0" + (f" and below {most:g}" if most < 9 else ""))
    return value
