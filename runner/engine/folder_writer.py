"""Writes a model folder in mlx-lm's layout, and says why a conversion is refused. Called by gguf and precision.

It does NOT choose where the folder lives nor make it appear at once: runner.models renames the finished folder into
place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx


class ConversionError(Exception):
    """The source cannot become an mlx-lm folder; `cure` says what can."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure


def write_folder(
    target: Path,
    weights: Mapping[str, mx.array],
    config: Mapping[str, Any],
    tokenizer_json: str,
    tokenizer_config: Mapping[str, Any],
) -> None:
    """All four files, each synced, so that the rename that publishes the folder publishes whole files."""
    mx.save_safetensors(str(target / "model.safetensors"), dict(weights), metadata={"format": "mlx"})
    (target / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (target / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    (target / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=1) + "\n", encoding="utf-8")
    for path in target.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
