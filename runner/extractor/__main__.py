"""Entry of the extract worker: spec from stdin, confinement, then file after file until the runner closes its end.

A file that crashes or stalls this process is the runner's to judge. Nothing is caught here but the end.
"""

from __future__ import annotations

import sys
from typing import Final

from runner import _native
from runner.config.worker_spec import ExtractorSpec
from runner.extractor.repair import Repair
from runner.worker.confinement import readable
from runner.worker.events import emit, take_stdout
from runner.worker.process import die_with_parent

NO_REPAIR: Final = "pdf_oxide, which reads some damaged files, is not installed: pip install 'mlx-runner[pdf-repair]'"


def main() -> int:
    """0 = the runner closed its end, 1 = it was gone before it said what to do."""
    take_stdout()
    line = sys.stdin.readline()
    if not line:
        return 1
    spec = ExtractorSpec.from_json(line)
    die_with_parent()
    second = _second(spec)
    worker = _native.ExtractWorker(spec.input_fd, spec.output_fd, spec.control_fd, spec.pdfium, second)
    confined = _native.confine(spec.memory_bytes, spec.open_files, readable())
    emit("ready", readers=worker.readers, **confined)
    worker.serve()
    return 0


def _second(spec: ExtractorSpec) -> Repair | str:
    """The second reader of PDFs, or how one is to be had."""
    if spec.second_pdf is None:
        return NO_REPAIR
    folder = spec.second_pdf_folder
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return Repair(spec.second_pdf)
    except Exception as error:  # noqa: BLE001 - somebody else's package: without it PDFs are read as before
        return f"{spec.second_pdf} cannot be loaded: {error}"


if __name__ == "__main__":
    sys.exit(main())
