"""Extract workers of one run: what each is told, and where PDFium lies. Starts none; `supervise.Converters` does.

Called by run.
"""

from __future__ import annotations

import importlib.metadata
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


def second_pdf_reader() -> tuple[str, str] | None:
    """Name with version, and the folder, of pdf_oxide where the extra `pdf-repair` is installed; not imported here."""
    try:
        found = importlib.metadata.distribution("pdf_oxide")
    except importlib.metadata.PackageNotFoundError:
        return None
    return f"pdf_oxide {found.version}", str(found.locate_file(""))


def extractor_spec(config: RunnerConfig, ends: Mapping[str, int]) -> str:
    """The line for one worker."""
    library = pdfium_library()
    name, folder = second_pdf_reader() or (None, None)
    return ExtractorSpec(
        input_fd=ends["input_fd"],
        output_fd=ends["output_fd"],
        control_fd=ends["control_fd"],
        pdfium=None if library is None else str(library),
        second_pdf=name,
        second_pdf_folder=folder,
        memory_bytes=config.ingest.isolation.memory_bytes,
        open_files=OPEN_FILES,
    ).to_json()
