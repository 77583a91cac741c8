"""`runner batch FILE.jsonl [KEY=VALUE ...]`: an OpenAI batch input file through ordinary runs. Thin: batch does it.

The same command again goes on where a killed one stopped. Called by cli.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from runner.commands.parser import Parser
from runner.errors import EXIT_DOCUMENTS_FAILED, EXIT_OK, Problem, RunFailed, UsageError
from runner.layout import DEFAULT_OUTPUTS
from runner.store.files import storage, write_bytes


def main(argv: list[str]) -> int:
    """0 when every request was answered, 3 when the error file has lines."""
    parser = Parser(prog="runner batch", description="Answer the requests of an OpenAI batch input file.")
    parser.add_argument("file", type=Path, help="JSON Lines: custom_id, method, url, body")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="as for a run: model=..., +profile=...")
    parser.add_argument("--output", type=Path, help="where the answers go (default: FILE.output.jsonl)")
    parser.add_argument("--errors", type=Path, help="where the failed requests go (default: FILE.errors.jsonl)")
    parser.add_argument("--outputs", type=Path, default=Path(DEFAULT_OUTPUTS), help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="the counts as JSON on stdout")
    options = parser.parse_args(argv)
    from runner import trial
    from runner.batch.requests import parse
    from runner.batch.work import Work, check_words
    from runner.store.folder import make_outputs
    from runner.store.locks import FileLock

    check_words(options.words)
    with storage(f"cannot read {options.file}"):
        data = options.file.read_bytes()
    parsed = parse(data)
    if parsed.faults:
        raise UsageError(
            f"{options.file} is no batch input file",
            problems=[
                Problem(f"{options.file}:{fault.line or 1}: {fault.message} ({fault.code})", "correct the file")
                for fault in parsed.faults[:20]
            ],
        )
    _check_here(options.words)
    output = options.output or options.file.with_suffix(".output.jsonl")
    errors = options.errors or options.file.with_suffix(".errors.jsonl")
    name = hashlib.sha256(json.dumps(options.words).encode() + b"\0" + data).hexdigest()[:16]
    make_outputs(options.outputs)
    root = options.outputs / "batches" / name
    lock = FileLock(root / "lock")
    if not lock.acquire("runner batch"):
        raise RunFailed(f"{root} is in use by {lock.holder()}", "wait for it: the same file and words are one batch")
    work = Work.create(root, name, options.words, data)
    print(f"{len(parsed.requests)} requests, {len(parsed.groups)} runs; {root}", file=sys.stderr, flush=True)
    with trial.sigterm_raises():
        ended = work.run(lambda: False)
    if not ended:
        raise RunFailed(f"the batch stopped: {work.problem}", "the same command goes on; what was answered is kept")
    right, wrong = work.lines()
    for path, lines in ((output, right), (errors, wrong)):
        write_bytes(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
    told = {"completed": len(right), "failed": len(wrong), "output": str(output), "errors": str(errors)}
    print(json.dumps(told) if options.json else f"{len(right)} answered: {output}\n{len(wrong)} errors: {errors}")
    return EXIT_DOCUMENTS_FAILED if wrong else EXIT_OK


def _check_here(words: list[str]) -> None:
    """A word that no run takes is one error now, and not one a request later."""
    from runner import machine
    from runner.config.compose import compose

    compose([*words, "job=prompt", "job.template='{{ document }}'"], machine.detect())
