"""The words of a sub-command, by argparse. No command itself; `version` does without, because scripts call it most."""

import argparse
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
