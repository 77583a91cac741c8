"""Chat templates: the ids around a document, and the ids of a follow-up turn. Called by the worker's `render` and the
engine.

Does not know job templates. A template is the model author's Jinja, run by transformers in its sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlx_lm.tokenizer_utils import load as load_tokenizer

from runner.engine.thoughts import Marks

_SENTINEL = "runnersentineldocument"
"""A plain word: templates strip white space and escape nothing."""


def render_turn(
    path: Path, system_prompt: str | None, enable_thinking: bool, answer_prefix: str = ""
) -> tuple[list[int], list[int]]:
    """(prefix ids, suffix ids) around a user turn; the suffix ends with the begin of the answer, encoded in one piece
    with the assistant's header, as it would stand in a whole text. A model without a chat template gets the system
    prompt and no markers.

    Raises ValueError when the template does not keep the document in one piece, or thoughts have no marks.
    """
    tokenizer = load_tokenizer(path)
    if enable_thinking:
        Marks.of(tokenizer)
    if tokenizer.chat_template is None and not getattr(tokenizer, "_chat_template", None):
        return _plain(tokenizer, system_prompt), _encode(tokenizer, f"\n\n{answer_prefix}") if answer_prefix else []
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    text = _render(tokenizer, [*system, {"role": "user", "content": _SENTINEL}], enable_thinking)
    parts = text.split(_SENTINEL)
    if len(parts) != 2:
        raise ValueError(f"the chat template shows the user's text {len(parts) - 1} times; exactly once is needed")
    return _encode(tokenizer, parts[0]), _encode(tokenizer, parts[1] + answer_prefix)


def follow_up_ids(
    tokenizer: Any, prompt: Sequence[int], answer: Sequence[int], message: str, answer_prefix: str = ""
) -> list[int]:
    """The prompt, the answer as the assistant's turn, then a user's turn with `message`, ready for the next answer,
    which begins as the first one did: the same shape is wanted.
    """
    history = [*map(int, prompt), *answer]
    if tokenizer.chat_template is None and not getattr(tokenizer, "_chat_template", None):
        return history + _encode(tokenizer, f"\n\n{message}\n\n{answer_prefix}")
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": _SENTINEL},
        {"role": "user", "content": message},
    ]
    after = _render(tokenizer, messages, False).split(_SENTINEL, 1)[1]
    return history + _encode(tokenizer, after + answer_prefix)


def _render(tokenizer: Any, messages: list[dict[str, str]], enable_thinking: bool) -> str:
    # Always given: mlx-lm's wrapper would say True for every vocabulary with think tokens.
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=enable_thinking
    )
    return str(text)


def _encode(tokenizer: Any, text: str) -> list[int]:
    return [int(token) for token in tokenizer.encode(text, add_special_tokens=False)]


def _plain(tokenizer: Any, system_prompt: str | None) -> list[int]:
    bos = tokenizer.bos_token_id
    start = [int(bos)] if bos is not None and getattr(tokenizer, "add_bos_token", False) else []
    return start + (_encode(tokenizer, f"{system_prompt}\n\n") if system_prompt else [])
