"""What the configuration says about a model. Plain data; made by config (profiles/model/*.yaml), read by `resolve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Source = Literal["embedded", "hub", "path", "gguf", "tiny"]
Precision = Literal["as_is", "fp32", "bf16", "q8", "q4"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """`location` is a hub repository, a folder or a GGUF file; empty for `embedded` and `tiny`.

    `tiny` is a random-weight llama with a byte tokenizer, made on the spot: for tests of the pipeline and for the
    scripted engine, never for answers. `precision` other than "as_is" converts the weights once into the cache.
    """

    source: Source
    location: str = ""
    revision: str | None = None
    precision: Precision = "as_is"


EMBEDDED: Final = ModelChoice("embedded")
