"""Why inputs did not end ok, counted by status and class of reason, from results.jsonl.

Called by run at the end and by show. The class is what stands before the first colon ("unsupported type: docx") or
bracket ("no text layer (12 pages)").
"""

from __future__ import annotations

import json
from collections import Counter

from runner.layout import RunFolder
from runner.store.files import storage


def count(folder: RunFolder) -> dict[str, int]:
    """{"skipped: unsupported type": 3, ...}, largest first; empty when everything is ok or nothing was published."""
    reasons: Counter[str] = Counter()
    if not folder.results.is_file():
        return {}
    with storage(f"cannot read {folder.results}"), folder.results.open(encoding="utf-8") as lines:
        for line in lines:
            result = json.loads(line)
            if result["status"] != "ok":
                reasons[f"{result['status']}: {_class(result.get('reason') or 'no reason')}"] += 1
    return dict(reasons.most_common())


def _class(reason: str) -> str:
    return reason.split(":", 1)[0].split(" (", 1)[0]
