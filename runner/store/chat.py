"""Question-answer results as chat lines for fine-tuning: the `chat` format that `mlx_lm.lora --data` reads.

Derived from results.jsonl at the end of a run, so it can be made again at any time. An answer that cannot be read as
pairs is counted, never guessed at. Called by run when `job.export_chat` is set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from runner.layout import RunFolder
from runner.store.files import storage, write_bytes

_PAIR: Final = re.compile(
    r"^\W*(?:question|q)\s*\d*\W*?[:.)]\s*(?P<question>.+?)\s*^\W*(?:answer|a)\s*\d*\W*?[:.)]\s*(?P<answer>.+?)\s*"
    r"(?=^\W*(?:question|q)\s*\d*\W*?[:.)]|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
"""`Q: ...` and `A: ...` blocks, also as `Question 1:`, `**Q1:**` and the like."""


@dataclass(frozen=True, slots=True)
class ChatExport:
    """What came of it: lines written, results that held no pair."""

    pairs: int
    results: int
    without_pairs: int


def pairs_of(output: str) -> list[tuple[str, str]]:
    """The (question, answer) pairs in one output: JSON `[{"question", "answer"}]` (or under "pairs"), or Q:/A: text."""
    try:
        data: Any = json.loads(output)
    except ValueError:
        found = [(match["question"].strip(" *\n"), match["answer"].strip(" *\n")) for match in _PAIR.finditer(output)]
        return [(question, answer) for question, answer in found if question and answer]
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), [data])
    if not isinstance(data, list):
        return []
    return [
        (item["question"].strip(), item["answer"].strip())
        for item in data
        if isinstance(item, dict)
        and isinstance(item.get("question"), str)
        and isinstance(item.get("answer"), str)
        and item["question"].strip()
        and item["answer"].strip()
    ]


def _outputs(folder: RunFolder) -> Iterator[str]:
    """Each chunk's own output: pairs of a long document come from its parts, not from a reduced text."""
    with storage(f"cannot read {folder.results}"), folder.results.open(encoding="utf-8") as lines:
        for line in lines:
            result = json.loads(line)
            if result["status"] != "ok":
                continue
            parts = [part["output"] for part in result.get("parts") or () if part.get("output")]
            yield from parts or [result["output"] or ""]


def export(folder: RunFolder) -> ChatExport:
    """Writes chat.jsonl whole: one `{"messages": [user, assistant]}` line a pair."""
    lines: list[str] = []
    results = empty = 0
    for output in _outputs(folder):
        results += 1
        pairs = pairs_of(output)
        empty += not pairs
        for question, answer in pairs:
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            lines.append(json.dumps({"messages": messages}, ensure_ascii=False))
    write_bytes(folder.chat, "".join(f"{line}\n" for line in lines).encode())
    return ChatExport(len(lines), results, empty)
