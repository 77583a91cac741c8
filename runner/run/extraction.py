"""Extract workers of one run: what each is told, and where PDFium lies. Starts none; `supervise.Converters` does.

Called by run.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runner.config.schema import RunnerConfig
from runner.config.worker_spec import ExtractorSpec

COMMAND: Final = (sys.executable, "-P", "-m", "runner.extractor")

OPEN_FILES: Final = 64
"""Descriptors of one extract worker: its own ten, and room for libraries while they load."""

_LIBRARY_NAMES: Final = ("libpdfium.so", "libpdfium.dylib")


def pdfium_library() -> Path | None:
    """The library that the pypdfium2 wheel carries, found without importing it."""
    spec = importlib.util.find_spec("pypdfium2_raw")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return next((folder / name for name in _LIBRARY_NAMES if (folder / name).is_file()), None)


def extractor_spec(config: RunnerConfig, ends: Mapping[str, int]) -> str:
    """The line for one worker."""
    library = pdfium_library()
    return ExtractorSpec(
        input_fd=ends["input_fd"],
        output_fd=ends["output_fd"],
        control_fd=ends["control_fd"],
        pdfium=None if library is None else str(library),
        memory_bytes=config.ingest.isolation.memory_bytes,
        open_files=OPEN_FILES,
    ).to_json()
