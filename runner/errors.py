"""Exceptions whose exit code, problem and cure are the user's: one base class, few subclasses.

Does not print and does not log; `cli` turns what arrives there into text on stderr and an exit code. Raised by
every room. A programming mistake is never one of these: it stays an assertion or a plain exception, and its trace
is shown.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

EXIT_OK: Final = 0
EXIT_RUN_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_DOCUMENTS_FAILED: Final = 3
EXIT_REGRESSION: Final = 4
EXIT_TUNING: Final = 5
EXIT_STORAGE: Final = 74
EXIT_BUSY: Final = 75
EXIT_SIGINT: Final = 130
EXIT_SIGTERM: Final = 143


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: what failed with the value seen and the rule in `text`, what to do in `cure`."""

    text: str
    cure: str


class RunnerError(Exception):
    """The user's or the world's fault. `problem` says what failed, the value seen and the rule; `cure` what to do."""

    exit_code: int = EXIT_RUN_FAILED

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them; one here, more in UsageError."""
        return (Problem(self.problem, self.cure),)

    @property
    def headline(self) -> str:
        """What stands before a list of several problems."""
        return self.problem

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.problem, self.cure))


class UsageError(RunnerError):
    """Wrong usage or configuration; may hold many problems, shown together. Nothing was started."""

    exit_code = EXIT_USAGE

    def __init__(self, problem: str = "", cure: str = "", *, problems: Sequence[Problem] = ()) -> None:
        self._problems = tuple(problems) or (Problem(problem, cure),)
        first = self._problems[0]
        super().__init__(problem or first.text, cure or first.cure)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, shown together."""
        return self._problems

    @property
    def headline(self) -> str:
        """One line over a list."""
        return "this configuration cannot run here" if len(self._problems) > 1 else self.problem

    def __reduce__(self) -> tuple[object, ...]:
        return (_usage_error, (self.problem, self.cure, self._problems))


def _usage_error(problem: str, cure: str, problems: tuple[Problem, ...]) -> UsageError:
    return UsageError(problem, cure, problems=problems)


class RunFailed(RunnerError):  # noqa: N818 - the name of an outcome, used by every room
    """The run ended without finishing its work; what was committed is safe and `runner resume` goes on."""

    exit_code = EXIT_RUN_FAILED


class StorageError(RunnerError):
    """Reading or writing the run's own files failed (full disk, no permission, damaged journal)."""

    exit_code = EXIT_STORAGE

    @classmethod
    def of(cls, action: str, error: OSError) -> "StorageError":
        """`action` says what was tried on which path; the cure follows from errno."""
        cures = {
            errno.ENOSPC: "free some space and `runner resume`",
            errno.EDQUOT: "free some of your quota and `runner resume`",
            errno.EFBIG: "raise the file size limit (ulimit -f) and `runner resume`",
            errno.EACCES: "choose an output.dir that you may write to",
            errno.EPERM: "choose an output.dir that you may write to",
            errno.EROFS: "choose an output.dir on a file system that is writable",
            errno.ENOENT: "a folder of this path is missing: make it, or choose another place",
            errno.ENOTDIR: "a part of this path is no folder: move it away, or choose another place",
        }
        cure = cures.get(error.errno or 0, "check the disk, then `runner resume`; what was committed is safe")
        return cls(f"{action}: {error.strerror or error}", cure)


class BusyError(RunnerError):
    """Another process holds a lock; the message names it."""

    exit_code = EXIT_BUSY


class TuningError(RunnerError):
    """A tuning step could not be applied (strict) or reverted, or conflicts with another."""

    exit_code = EXIT_TUNING


def render(error: RunnerError) -> str:
    """The text for stderr: `error:` and `hint:` lines, never a stack trace."""
    problems = error.problems
    if len(problems) == 1:
        only = problems[0]
        return f"error: {only.text}" + (f"\n  hint: {only.cure}" if only.cure else "")
    lines = [f"error: {error.headline}"]
    for problem in problems:
        lines.append(f"  - {problem.text}")
        if problem.cure:
            lines.append(f"      hint: {problem.cure}")
    return "\n".join(lines)
