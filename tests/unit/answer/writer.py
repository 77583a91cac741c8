"""What a model without any sense would write under a grammar: a random walk, one byte a token."""

import random

from llguidance import LLMatcher, LLTokenizer

_BYTES = LLTokenizer("byte")


def written(grammar: str, seed: int, begun: str = "", most: int = 20_000) -> str:
    """A whole answer. Fails when the walk does not end, so only for grammars that do."""
    chance = random.Random(seed)
    matcher = LLMatcher(_BYTES, grammar, log_level=0)
    assert matcher.consume_tokens(list(begun.encode())), matcher.get_error()
    out = bytearray()
    while not matcher.is_stopped():
        mask = matcher.compute_bitmask()
        allowed = [token for token in range(_BYTES.vocab_size) if mask[token // 8] >> token % 8 & 1]
        token = chance.choice(allowed)
        assert matcher.consume_token(token), matcher.get_error()
        if token == _BYTES.eos_token:
            break
        out.append(token)
        assert len(out) < most, "this answer has no end"
    return out.decode()
