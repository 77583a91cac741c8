"""Entry of the extract worker: spec from stdin, confinement, then file after file until the runner closes its end.

A file that crashes or stalls this process is the runner's to judge. Nothing is caught here but the end.
"""

from __future__ import annotations

import sys

from runner import _native
from runner.config.worker_spec import ExtractorSpec
from runner.worker.confinement import readable
from runner.worker.events import emit, take_stdout
from runner.worker.process import die_with_parent


def main() -> int:
    """0 = the runner closed its end, 1 = it was gone before it said what to do."""
    take_stdout()
    line = sys.stdin.readline()
    if not line:
        return 1
    spec = ExtractorSpec.from_json(line)
    die_with_parent()
    worker = _native.ExtractWorker(spec.input_fd, spec.output_fd, spec.control_fd, spec.pdfium)
    confined = _native.confine(spec.memory_bytes, spec.open_files, readable())
    emit("ready", readers=worker.readers, **confined)
    worker.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
