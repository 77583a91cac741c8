"""The words of a sub-command, by argparse. No command itself; `version` does without, because scripts call it most."""

import argparse
from typing import NoReturn

from runner.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A sub-command's words. A mistake in them is our error with the usage as its cure, not argparse's own text."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        raise UsageError(f"{self.prog}: {message}", " ".join(self.format_usage().split()))
