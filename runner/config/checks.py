"""Rules that hold for the values of a configuration whatever the machine: ranges, pairs, files that must be there.

Every rule adds a `Problem` with the value, the rule and the cure; nothing is raised here and nothing is changed.
Memory and cores are checked by `fit`, because they need the machine's facts.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.config.monitor import check_monitor
from runner.config.schema import JobTree, Tree
from runner.errors import Problem

# key -> (least, most); null always passes where the schema allows it.
RANGES: dict[str, tuple[float, float | None]] = {
    "batching.max_num_seqs": (1, 4096),
    "batching.prefill_batch_size": (1, 4096),
    "batching.prefill_step_size": (1, 65536),
    "batching.max_num_batched_tokens": (1, None),
    "cores.workers": (1, 256),
    "cores.threads_per_worker": (1, 1024),
    "cores.rust_threads": (1, 1024),
    "cores.spare": (0, 1024),
    "sampling.temperature": (0, 10),
    "sampling.top_p": (0, 1),
    "sampling.top_k": (0, None),
    "sampling.min_p": (0, 1),
    "sampling.seed": (0, 2**32 - 1),
    "sampling.thinking_tokens": (1, 1_000_000),
    "job.max_tokens": (1, 2**20),
    "job.max_documents": (1, None),
    "job.max_chunks": (1, None),
    "job.deadline_ms": (100, None),
    "job.max_attempts": (1, 100),
    "job.max_failed": (0, None),
    "ingest.max_file_bytes": (1, None),
    "ingest.max_text_bytes": (1, None),
    "ingest.max_inflate_ratio": (1, None),
    "ingest.max_zip_entries": (1, 1_000_000),
    "ingest.max_zip_entry_bytes": (1, None),
    "ingest.max_zip_total_bytes": (1, None),
    "ingest.max_pdf_pages": (1, 200_000),  # page ranges of one document have to fit beside its text
    "ingest.max_xml_depth": (1, 100_000),
    "ingest.max_html_depth": (1, 100_000),
    "ingest.max_json_depth": (1, 10_000),
    "ingest.chunk_overlap_tokens": (0, 65536),
    "ingest.isolation.cpu_s": (1, 86_400),
    "ingest.isolation.wall_s": (1, 86_400),
    "ingest.isolation.start_s": (1, 3_600),
    "ingest.isolation.memory_bytes": (64 << 20, None),
    "channel.segment_bytes": (64 * 1024, 2**30),
    "channel.output_slot_bytes": (4096, 2**30),
    "channel.ring_entries": (2, 65536),
    "channel.spin_us": (0, 10_000),
    "worker.recycle_documents": (0, None),
    "worker.recycle_bytes": (0, None),
    "worker.max_restarts": (0, 10_000),
    "worker.backoff_ms": (0, 600_000),
    "worker.backoff_max_ms": (0, 3_600_000),
    "worker.drain_ms": (0, 10_000),
    "worker.start_timeout_ms": (1000, 3_600_000),
    "monitor.interval_ms": (50, 3_600_000),
    "monitor.prometheus.port": (0, 65535),
    "monitor.alerts.timeout_s": (0.1, 600),
    "model.max_model_len": (64, 2**20),
}


def check_tree(tree: Tree, problems: list[Problem]) -> None:
    """All rules that need no machine."""
    for key, (least, most) in RANGES.items():
        _range(key, _lookup(tree, key), least, most, problems)
    for rule in (_batching, _channel, _ingest, _model, _sampling, _thinking, _tuning, _worker):
        rule(tree, problems)
    check_monitor(tree.monitor, problems)


def _lookup(tree: Tree, key: str) -> Any:
    value: Any = tree
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _range(key: str, value: Any, least: float, most: float | None, problems: list[Problem]) -> None:
    if value is None or (value >= least and (most is None or value <= most)):
        return
    rule = f"at least {least}" if most is None else f"{least} to {most}"
    near = least if value < least else most
    problems.append(Problem(f"{key} is {value}, it must be {rule}", f"for example {key}={near}"))


def _batching(tree: Tree, problems: list[Problem]) -> None:
    bound, longest = tree.batching.max_num_batched_tokens, tree.model.max_model_len
    if bound is not None and longest is not None and bound < longest:
        problems.append(
            Problem(
                f"batching.max_num_batched_tokens is {bound}, one full request of model.max_model_len ({longest}) "
                "would never be admitted",
                f"batching.max_num_batched_tokens={longest} or more, or lower model.max_model_len",
            )
        )


def _channel(tree: Tree, problems: list[Problem]) -> None:
    entries, leases = tree.channel.ring_entries, credits_of(tree.batching.max_num_seqs)
    if entries >= 2 and entries & (entries - 1):
        problems.append(
            Problem(
                f"channel.ring_entries is {entries}, it must be a power of two",
                f"channel.ring_entries={1 << entries.bit_length()}",
            )
        )
    elif entries < leases:
        problems.append(
            Problem(
                f"channel.ring_entries is {entries}, it must hold the {leases} leases of one worker "
                "(2 x batching.max_num_seqs)",
                f"channel.ring_entries={1 << (leases - 1).bit_length()}, or lower batching.max_num_seqs",
            )
        )


def _ingest(tree: Tree, problems: list[Problem]) -> None:
    name = tree.ingest.stdin_name
    if name is not None and (name in ("", ".", "..") or "/" in name):
        problems.append(
            Problem(
                f"ingest.stdin_name is '{name}', it must be a file name without a folder", "ingest.stdin_name=notes.md"
            )
        )
    for key in ("files_from", "files0_from"):
        if getattr(tree.ingest, key) == "":
            problems.append(
                Problem(f"ingest.{key} is '', it must name a file", f"ingest.{key}=LIST, or - for standard input")
            )


def credits_of(max_num_seqs: int) -> int:
    """Most leases one worker holds: the batch that runs and the one that waits."""
    return 2 * max_num_seqs


def _model(tree: Tree, problems: list[Problem]) -> None:
    model = tree.model
    if model.source == "path":
        if model.path is None:
            problems.append(
                Problem(
                    f"model={model.name} has no folder: model.path is null, it must name a folder or a GGUF file",
                    "model=path model.path=FOLDER",
                )
            )
        elif not Path(model.path).expanduser().exists():
            problems.append(
                Problem(
                    f"model.path is '{model.path}', there is no such file or folder",
                    "give an mlx-lm folder (config.json and *.safetensors) or a .gguf file; "
                    "runner models lists what is at hand",
                )
            )
    if model.source == "hub" and not model.repo:
        problems.append(
            Problem(f"model={model.name} comes from the hub but model.repo is null", "model.repo=OWNER/NAME")
        )
    allowed = (4, 6, 8) if model.source == "hub" else (4, 8, 16, 32)
    if model.bits is not None and model.bits not in allowed:
        problems.append(
            Problem(
                f"model.bits is {model.bits}, for a model of source '{model.source}' it must be one of "
                + ", ".join(map(str, allowed)),
                f"model.bits={allowed[0]}"
                + ("" if model.source == "hub" else ", or null for the weights as delivered"),
            )
        )
    if model.engine == "scripted" and model.script is None:
        problems.append(
            Problem(
                "model.engine is scripted but model.script is null: it must hold the script as JSON",
                "model.script=JSON, or model.engine=mlx",
            )
        )
    if model.script is not None and not _json_object(model.script):
        problems.append(
            Problem(
                f"model.script is {model.script!r}, it must be a JSON object", 'model.script=\'{"output": "echo"}\''
            )
        )


def has_schema(job: JobTree) -> bool:
    """That of classify is made of its labels."""
    return job.schema is not None or job.fields is not None or job.task == "classify"


def check_evidence(job: JobTree, problems: list[Problem]) -> None:
    """Quotes need something to stand in, and a text to be looked for in."""
    if job.evidence and not has_schema(job):
        problems.append(
            Problem(
                "job.evidence is true and the job has no schema: nothing is marked as a quote", "job.schema=FILE.json"
            )
        )
    if job.evidence and job.reduce_template is not None:
        problems.append(
            Problem(
                "job.evidence is true and job.reduce_template is set: a reduce step reads answers, and quotes of those "
                "are quotes of no document",
                "job.reduce_template=null, which keeps the answers of the parts side by side",
            )
        )


def _json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _sampling(tree: Tree, problems: list[Problem]) -> None:
    if tree.sampling.ignore_eos and has_schema(tree.job):
        problems.append(
            Problem(
                "sampling.ignore_eos is true and the job has a schema: answers that never end fit none",
                "sampling.ignore_eos=false, or job.schema=null",
            )
        )


def _thinking(tree: Tree, problems: list[Problem]) -> None:
    if tree.model.enable_thinking and tree.job.answer_prefix:
        problems.append(
            Problem(
                f"model.enable_thinking is true and job.answer_prefix is {_tail(tree.job.answer_prefix)!r}: an answer "
                "that is begun leaves no place to think first",
                "job.answer_prefix='' or model.enable_thinking=false",
            )
        )
    if tree.model.enable_thinking and tree.sampling.ignore_eos:
        problems.append(
            Problem(
                "model.enable_thinking and sampling.ignore_eos are both true: thoughts end where their mark is written",
                "sampling.ignore_eos=false or model.enable_thinking=false",
            )
        )


def _tuning(tree: Tree, problems: list[Problem]) -> None:
    known = ("process", "session", "system")
    problems += [
        Problem(f"tuning.scopes holds '{scope}', it may hold: {', '.join(known)}", "tuning.scopes=[process]")
        for scope in tree.tuning.scopes
        if scope not in known
    ]
    if tree.tuning.steps and "system" not in tree.tuning.scopes:
        problems.append(
            Problem(
                f"tuning.steps sets {', '.join(sorted(tree.tuning.steps))} but tuning.scopes does not hold 'system'",
                "tuning.scopes=[process,system], or tuning=process for no system change",
            )
        )


def _worker(tree: Tree, problems: list[Problem]) -> None:
    if tree.worker.backoff_max_ms < tree.worker.backoff_ms:
        problems.append(
            Problem(
                f"worker.backoff_max_ms is {tree.worker.backoff_max_ms}, it must not be under worker.backoff_ms "
                f"({tree.worker.backoff_ms})",
                f"worker.backoff_max_ms={tree.worker.backoff_ms}",
            )
        )


# ---- files ----


def read_text(key: str, path: str, problems: list[Problem]) -> str | None:
    """Text of a file that the configuration names, or a problem."""
    full = Path(path).expanduser()
    try:
        return full.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        problems.append(Problem(f"{key} is '{path}', it must be UTF-8 text: {error}", "save it as UTF-8"))
    except OSError as error:
        problems.append(
            Problem(f"{key} is '{path}', which cannot be read: {error.strerror}", "give the path of a readable file")
        )
    return None


def check_inputs(paths: Sequence[str], problems: list[Problem]) -> None:
    """Every input is there and can be listed; an empty folder is a mistake of the command line, not a finished run."""
    for path in paths:
        if not os.path.lexists(path):
            problems.append(
                Problem(
                    f"input '{path}' does not exist",
                    "give a folder or a file; several are written input='[a,b]'",
                )
            )
        elif not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a link into a forbidden folder
            problems.append(
                Problem(
                    f"input '{path}' is a link to '{Path(path).readlink()}', which does not exist or cannot be reached",
                    "mend the link, or give another path",
                )
            )
        elif not os.access(path, os.R_OK | (os.X_OK if Path(path).is_dir() else 0)):
            problems.append(
                Problem(f"input '{path}' cannot be read by this user", f"chmod u+rX '{path}', or run as its owner")
            )
        elif Path(path).is_dir() and not _any_file(path):
            problems.append(
                Problem(f"input '{path}' is an empty folder", "put documents into it, or give another folder")
            )


def _any_file(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))


def check_output(folder: str, problems: list[Problem]) -> None:
    """The outputs folder, or the nearest parent that is there, can be written."""
    if not folder:
        problems.append(Problem("output.dir is '', it must name a folder", "output.dir=outputs"))
        return
    at = Path(folder)
    while not at.exists() and at != at.parent:
        at = at.parent
    if not at.is_dir():
        problems.append(Problem(f"output.dir is '{folder}', but '{at}' is not a folder", "output.dir=FOLDER"))
    elif not os.access(at, os.W_OK | os.X_OK):
        problems.append(
            Problem(
                f"output.dir is '{folder}', but '{at}' cannot be written by this user",
                f"output.dir=FOLDER that you own, or chmod u+w '{at}'",
            )
        )


def _tail(text: str) -> str:
    return text if len(text) <= 30 else "..." + text[-27:]


def check_job(job: JobTree, problems: list[Problem]) -> None:
    """What a task needs besides numbers."""
    if job.template is not None and job.template_file is not None:
        problems.append(
            Problem("job.template and job.template_file are both set, only one can be used", "job.template_file=null")
        )
    if job.template is None and job.template_file is None:
        problems.append(
            Problem(
                f"job={job.name} has no template: job.template and job.template_file are both null",
                "job.template_file=FILE, or job.template='... {{ document }}'",
            )
        )
    if job.answer_prefix.endswith((" ", "\t")):
        problems.append(
            Problem(
                f"job.answer_prefix ends in white space ({_tail(job.answer_prefix)!r}), which tokenizers join to the "
                "next word: the model would have to begin with a word it has rarely seen there",
                "end it with a word or a mark",
            )
        )
    if job.task == "classify" and len(set(job.labels)) < 2:
        problems.append(
            Problem(
                f"job.labels is {list(job.labels)}, job=classify needs at least two different labels",
                "'job.labels=[invoice,letter,other]'",
            )
        )
    check_evidence(job, problems)
    if job.task == "extract" and not has_schema(job):
        problems.append(
            Problem(
                "job.schema and job.fields are null, job=extract needs one of them",
                "job.schema=FILE.json, or job.fields=FILE.yaml",
            )
        )
