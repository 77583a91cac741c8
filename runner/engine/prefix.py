"""What prompts begin with in common. Pure; used by mlx_lm_adapter, which keeps the KV of it."""

from __future__ import annotations

from collections.abc import Sequence


def common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The longest common start that leaves each prompt at least one token of its own."""
    low, high = min(map(list, prompts)), max(map(list, prompts))  # in lexical order the extremes differ first
    bound = min(len(prompt) for prompt in prompts) - 1
    size = 0
    while size < bound and low[size] == high[size]:
        size += 1
    return list(low[:size])
