"""The token ids before and after a document: the model's chat template rendered once, kept on disk.

Does not know job templates with fields (the Rust core renders those); here only the system prompt and the turn markers
are fixed. The rendering itself happens in an exec'ed worker. Called by run and plan through
`runner.models.render_prompt`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner.models.cache import cache_dir, read_json, write_json
from runner.models.child import ask
from runner.models.folder import ModelFolder

PROMPT_VERSION: Final = 1
"""Raised when the same inputs would give other ids."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`prefix_ids` + a document's ids + `suffix_ids` is what the model sees; `suffix_ids` ends with the answer's begin.
    `prompt_hash` covers both lists and the text of that begin, which is a part of every output.
    """

    prefix_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    prompt_hash: str


def render_prompt(
    folder: ModelFolder,
    system_prompt: str | None,
    enable_thinking: bool = False,
    answer_prefix: str = "",
    cache: Path | None = None,
) -> Prompt:
    """From the cache when tokenizer, template and flags are known; else from a worker, which takes some seconds."""
    identity = json.dumps(
        [PROMPT_VERSION, folder.tokenizer_hash, system_prompt or None, enable_thinking, answer_prefix]
    )
    kept = (cache or cache_dir()) / "prompts" / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
    known = read_json(kept)
    if known is None:
        asked = {"system_prompt": system_prompt or None, "enable_thinking": enable_thinking}
        answer = ask("render", {"path": str(folder.path), **asked, "answer_prefix": answer_prefix})
        known = {"prefix_ids": answer["prefix_ids"], "suffix_ids": answer["suffix_ids"]}
        write_json(kept, known)
    prefix, suffix = tuple(known["prefix_ids"]), tuple(known["suffix_ids"])
    seen = json.dumps([prefix, suffix, answer_prefix])
    return Prompt(prefix, suffix, hashlib.sha256(seen.encode()).hexdigest())
