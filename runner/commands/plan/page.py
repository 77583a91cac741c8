"""The plan as one look on a terminal: what was read, what it holds, what will be sent. Pure: numbers in, lines out."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runner.commands.plan.outlook import Outlook
from runner.config.answers import CHARACTERS_PER_TOKEN
from runner.config.schema import Job, RunnerConfig
from runner.config.sizes import format_size
from runner.predict.estimate import Amount, Corpus, Reason
from runner.predict.forecast import Forecast
from runner.predict.pace import Measured
from runner.progress import duration_text

LABEL: Final = 12
"""Columns of the first word of a line."""

_SHOWN_REASONS: Final = 8
_NARROW: Final = 60


def row(label: str, text: str, width: int) -> list[str]:
    """`label` and its text, further lines below the text."""
    return textwrap.wrap(
        text,
        max(width, _NARROW),
        initial_indent=f"{label:<{LABEL}}",
        subsequent_indent=" " * LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )


def count(number: float) -> str:
    """12,345."""
    return f"{round(number):,}"


def amount(number: Amount) -> str:
    """ "12,345", or "~12,345 (11,900 to 12,800)" for an estimate."""
    if number.exact:
        return count(number.value)
    digits = max(0, len(str(round(number.high))) - 3)

    def rounded(value: float) -> str:
        return f"{round(value, -digits):,.0f}"

    return f"~{rounded(number.value)} ({rounded(number.low)} to {rounded(number.high)})"


def plural(number: float, one: str) -> str:
    """ "1 file", "2 files"."""
    return f"{count(number)} {one}{'s' * (round(number) != 1)}"


def shortened(path: str, room: int) -> str:
    """The end of a long path, which tells files apart."""
    return path if len(path) <= room else "..." + path[-max(12, room - 3) :]


@dataclass(frozen=True, slots=True)
class _Names:
    """Sources as they are told apart: without the folder that all inputs lie in."""

    folder: str

    def of(self, source: str, room: int) -> str:
        return shortened(source.removeprefix(self.folder), room)


def corpus_lines(corpus: Corpus, folder: str, seconds: float, width: int) -> list[str]:
    """What lies in the inputs; `folder` is left out of the names of files."""
    names = _Names(os.path.join(folder, ""))  # noqa: PTH118 - the separator at the end is what is wanted
    kinds = sorted(corpus.kinds.items(), key=lambda item: (-item[1][1], item[0]))
    listed = ", ".join(f"{name} {count(files)} ({format_size(size)})" for name, (files, size) in kinds)
    out = row("files", f"{plural(corpus.files, 'file')}, {format_size(corpus.bytes)}: {listed or 'none'}", width)
    out += row("read", _read(corpus, seconds), width)
    amounts = corpus.amounts
    unchanged = sum(corpus.unchanged.values())
    text = f"{amount(amounts['documents'])} to do"
    if corpus.unchanged_files:
        text += f", {count(unchanged)} unchanged since they were answered ({plural(corpus.unchanged_files, 'file')})"
    out += row("documents", text, width)
    for status in ("skipped", "failed"):
        rows = [reason for reason in corpus.reasons if reason.status == status]
        out += _reason_lines(status, rows, names, width)
    if amounts["documents"].value:
        out += _text_lines(corpus, names, width)
    return out


def _read(corpus: Corpus, seconds: float) -> str:
    took = f" in {seconds:.1f} s"
    if corpus.sampled:
        return (
            f"sampled {count(corpus.read)} of {plural(corpus.to_read, 'file')} "
            f"({format_size(corpus.read_bytes)} of {format_size(corpus.to_read_bytes)}){took}: numbers with ~ are "
            "estimates, the brackets hold 90 % intervals; --full reads everything"
        )
    if corpus.partly:
        return (
            f"{plural(corpus.read, 'file')}{took}, of large files of records only some texts encoded: numbers with ~ "
            "are estimates, the brackets hold 90 % intervals; --full encodes everything"
        )
    return f"{'all of it' if corpus.to_read else 'nothing'}{took}: every number here is counted"


def _reason_lines(status: str, rows: Sequence[Reason], names: _Names, width: int) -> list[str]:
    out = []
    for number, reason in enumerate(rows[:_SHOWN_REASONS]):
        single = reason.count.exact and reason.count.value <= 1
        text = f"1 {reason.detail}: " if single else f"{amount(reason.count)} {reason.name}, e.g. "
        out += row(status if number == 0 else "", text + names.of(reason.example, width - LABEL - len(text)), width)
    if len(rows) > _SHOWN_REASONS:
        out += row("", f"and {len(rows) - _SHOWN_REASONS} reasons more: --json lists them", width)
    return out


def _text_lines(corpus: Corpus, names: _Names, width: int) -> list[str]:
    amounts = corpus.amounts
    median, p95 = corpus.quantile(0.5), corpus.quantile(0.95)
    text = f"{amount(amounts['tokens'])}, prompts included"
    if median is not None and p95 is not None:
        text += f"; a document has {_about(median, corpus)} in the median, 95 % have at most {_about(p95, corpus)}"
    if corpus.longest:
        tokens, source = corpus.longest
        text += f", the longest {'' if corpus.exact else 'of those read '}{count(tokens)}: "
        text += names.of(source, width - LABEL)
    out = row("tokens", text, width)
    left_out = amounts["text_bytes"].value - amounts["covered_bytes"].value
    text = f"{amount(amounts['chunks'])}"
    if corpus.exact and left_out > 0:
        text += f"; {format_size(round(left_out))} of text in none of them"
    out += row("chunks", text, width)
    text = f"{amount(amounts['requests'])} to send, {amount(amounts['tokens_to_send'])} prompt tokens"
    out += row("requests", text, width)
    return out + row("duplicates", _duplicates(corpus, names), width)


def _about(value: float, corpus: Corpus) -> str:
    return count(value) if corpus.exact else f"~{count(value)}"


def _duplicates(corpus: Corpus, names: _Names) -> str:
    among = " among what was read" if not corpus.exact else ""
    exact, near = corpus.amounts["duplicates"], corpus.amounts["near_duplicates"]
    text = f"{count(exact.value)} exact (asked once), {count(near.value)} near{among}"
    example = corpus.near_example
    if example is not None:
        one, other = names.of(example["source"], 50), names.of(example["like"], 50)
        text += f"; {one} is like {other} ({example['similarity']:.2f})"
    if corpus.not_compared:
        text += f"; near ones not looked for between {plural(corpus.not_compared, 'document')} for want of memory"
    if corpus.duplicates_cut:
        text += "; exact ones not looked for past 16,777,216 documents"
    return text


def time_lines(outlook: Outlook, calibrate: str, width: int) -> list[str]:
    """When it will be done, and how that is known."""
    found = outlook.forecast
    if found is None:
        text = f"not known: no run of this model with these settings was measured here; {calibrate}"
        if outlook.near_miss is not None:
            source, other = outlook.near_miss
            text += f" ({source} had {', '.join(other)})"
        return row("time", text, width)
    seconds, rate = found.seconds, found.documents_per_hour
    if found.answers is None:
        text = f"at most {duration_text(seconds.value)}: the length of these answers is not known yet"
    elif found.has_interval:
        text = (
            f"~{duration_text(seconds.value)} ({duration_text(seconds.low)} to {duration_text(seconds.high)}), "
            f"{count(rate.value)} documents/h ({count(rate.low)} to {count(rate.high)})"
        )
    else:
        text = f"~{duration_text(seconds.value)}, {count(rate.value)} documents/h; too little measured for an interval"
    return row("time", text, width) + _grounds(found, outlook.backtest, width)


def _grounds(found: Forecast, backtest: tuple[float, float] | None, width: int) -> list[str]:
    pace = found.pace
    text = f"from {_source(pace.runs)}: a worker "
    if pace.prefill_s:
        text += f"reads {count(1 / pace.prefill_s)} and "
    text += (
        f"writes {count(1 / pace.decode_s)} tokens/s, {100 * pace.busy:.0f} % of its time, after {pace.start_s:.0f} s"
    )
    if found.answers is not None:
        text += f"; answers have {found.answers.mean:.0f} tokens in the mean ({count(found.answers.count)} answers)"
    if found.reduce_requests:
        text += f"; with {count(found.reduce_requests)} reduce steps"
    out = row("", text, width)
    if backtest is not None:
        foretold, took = backtest
        text = f"the last of them took {duration_text(took)}; the others foretell {duration_text(foretold)}"
        out += row("", text, width)
    return out


def _source(runs: Sequence[Measured]) -> str:
    return runs[0].source if len(runs) == 1 else f"{len(runs)} runs, the last {runs[0].source}"


def profile_lines(config: RunnerConfig, width: int) -> list[str]:
    """What the machine gives: as far as it is known before the model is."""
    profile, memory, cores, tuning = config.profile, config.memory, config.cores, config.tuning
    chosen = f" ({profile.reason})" if profile.reason else ""
    out = row("profile", f"{profile.label}{chosen}", width)
    for fit in profile.fitted:
        out += row("  fitted", f"{fit.key}: {fit.was} -> {fit.now} ({fit.why})", width)
    pools = ", ".join(
        f"{name} {format_size(getattr(memory, f'{name}_bytes'))}" for name in ("rust", "mlx", "ipc", "system")
    )
    out += row("memory", f"{format_size(memory.total_bytes)}: {pools}", width)
    pins = "; ".join(",".join(map(str, cpus)) for cpus in cores.worker_cpus if cpus) or "not pinned"
    out += row("cores", f"{cores.workers} workers x {cores.threads_per_worker} threads, on CPUs {pins}", width)
    rows = f"max_num_seqs {config.batching.max_num_seqs}, prefill {config.batching.prefill_batch_size}"
    out += row("batching", rows, width)
    scopes = ", ".join(tuning.scopes) or "none"
    out += row("tuning", f"{tuning.name}: scopes {scopes}, blas {tuning.blas}, kernels {tuning.kernels}", width)
    for name, value in tuning.steps.items():
        out += row("  step", f"{name} = {value}", width)
    return out + _job_lines(config.job, width)


def _job_lines(job: Job, width: int) -> list[str]:
    out = row("job", f"{job.name}, up to {job.max_tokens} tokens an answer", width)
    if job.grammar is not None:
        few, many = (-(-job.longest_answer // each) for each in (CHARACTERS_PER_TOKEN, 1))
        size = f"the longest has {job.longest_answer} characters: {few} tokens of plain text, {many} of digits"
        out += row("  answers", f"held to the schema; {size}", width)
    elif job.output_schema is not None:
        out += row("  answers", "checked against the schema when they are done (job.constrain=false)", width)
    for note in job.notes:
        out += row("  note", note, width)
    return out
