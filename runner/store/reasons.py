"""What results.jsonl says as a whole: why inputs did not end ok, by status and class, and how long answers are.

Called by run at the end and by show. The class is what stands before the first colon ("unsupported type: docx") or
bracket ("no text layer (12 pages)").
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from runner.layout import RunFolder
from runner.predict.pace import Answers
from runner.store.files import storage


@dataclass(frozen=True, slots=True)
class Tally:
    """`reasons`: {"skipped: unsupported type": 3, ...}, largest first; empty when everything is ok or nothing was
    published. `answers` are those that this run has asked for itself."""

    reasons: dict[str, int]
    answers: Answers


def count(folder: RunFolder) -> dict[str, int]:
    """The reasons alone."""
    return tally(folder).reasons


def ended(folder: RunFolder) -> Counter[str]:
    """Lines by status: when a core has been opened and not yet started, what earlier lives of the run have finished."""
    found: Counter[str] = Counter()
    if folder.results.is_file():
        with storage(f"cannot read {folder.results}"), folder.results.open(encoding="utf-8") as lines:
            found.update(json.loads(line)["status"] for line in lines)
    return found


def tally(folder: RunFolder) -> Tally:
    """Reads the file once."""
    reasons: Counter[str] = Counter()
    answers, tokens, squares = 0, 0, 0
    if not folder.results.is_file():
        return Tally({}, Answers.of(0, 0, 0))
    with storage(f"cannot read {folder.results}"), folder.results.open(encoding="utf-8") as lines:
        for line in lines:
            result = json.loads(line)
            if result["status"] != "ok":
                reasons[f"{result['status']}: {_class(result.get('reason') or 'no reason')}"] += 1
            if result["reused_from"] is None and result["duplicate_of"] is None:
                for part in result["parts"]:
                    answers += 1
                    tokens += part["tokens_out"]
                    squares += part["tokens_out"] ** 2
    return Tally(dict(reasons.most_common()), Answers.of(answers, tokens, squares))


def _class(reason: str) -> str:
    return reason.split(":", 1)[0].split(" (", 1)[0]
