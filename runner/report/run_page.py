"""The report of one run: a verdict, what it was worth, where time and memory went, what failed and why, how to repeat
it.

Pure: takes what the run folder holds, already read and thinned, and returns the page. What each figure means:
docs/report.md. Called by the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.progress import duration_text
from runner.report import plots, run_documents, run_machine, units
from runner.report.events import Events
from runner.report.markup import NEWLINE, Markup, foreign, tag, text, visible
from runner.report.outcomes import Outcomes
from runner.report.shell import contents, document, section, tile, word
from runner.report.timeline import Timeline, per_hour
from runner.report.units import shell_word

STATUSES = (("ok", "s3"), ("failed", "sbad"), ("quarantined", "s2"), ("skipped", "s5"))
BUCKETS = 60
OF_A_JOB = ("output.run_dir=", "output.report=")
"""Words that a sweep gives its jobs; a run of one's own has another folder."""
BUSY_SHARE = 0.7
"""Of a processor that a computing worker has on a machine of its own, at least: it waits for memory inside of it."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run folder holds; `files`: names that the page leads to. `state` is run.json's status, or `crashed`;
    `summary` is {} while there is none."""

    folder: str
    state: str
    identity: Mapping[str, Any]
    environment: Mapping[str, Any]
    summary: Mapping[str, Any]
    config_text: str
    events: Events
    timeline: Timeline
    outcomes: Outcomes
    tuning: tuple[Mapping[str, Any], ...]
    files: tuple[str, ...] = ()


def page(run: RunFacts) -> str:
    """The file."""
    parts = [
        ("time", "Where the time went", _time(run)),
        ("throughput", "Throughput", _throughput(run)),
        ("memory", "Where the memory went", run_machine.memory(run.environment, run.summary, run.timeline)),
        ("lengths", "Latency and length", run_documents.distributions(run.outcomes)),
        ("failures", "What failed", run_documents.failures(run.outcomes)),
        ("left-out", "Skipped, repeated, taken over", run_documents.left_out(run.outcomes, run.summary)),
        ("answers", "A look at the answers", run_documents.answers(run.outcomes)),
        ("tuning", "Tuning", run_machine.tuning(run.events, run.tuning, run.environment)),
        ("machine", "Machine and model", run_machine.machine(run.environment, run.identity, run.events, run.summary)),
        ("log", "Warnings and errors", run_machine.complaints(run.events)),
        ("again", "Configuration, and the same again", _again(run)),
    ]
    made = [(name, title, built) for name, title, body in parts if (built := section(name, title, body))]
    identity = run.identity
    job, model = (visible(str(identity.get(name)), 60) for name in ("job", "model"))
    title = f"{job} with {model}, {str(identity.get('started_at'))[:16].replace('T', ' ')}"
    head = tag(
        "header",
        tag("p", f"Run {identity.get('run_id')} · {title}", cls="quiet"),
        _verdict(run),
        _tiles(run),
        contents([(name, title) for name, title, _ in made]),
    )
    beside = [[", " if place else "", tag("a", name, href=name)] for place, name in enumerate(run.files)]
    foot = tag(
        "footer",
        beside and tag("p", "Beside this page: ", beside, "."),
        tag(
            "p", "Drawn from ", foreign(run.folder), " by ", tag("code", f"runner report {identity.get('run_id')}"), "."
        ),
    )
    return document(f"{title}: runner report", head, tag("main", [built for _, _, built in made]), foot)


def verdict(run: RunFacts) -> tuple[str, str, str]:
    """(good, warn or bad; the word; the sentence)."""
    counts, state = run.summary or run.outcomes.statuses, run.state
    ok, inputs = int(counts.get("ok", 0)), int(run.summary.get("inputs") or run.outcomes.inputs)
    bad = int(counts.get("failed", 0)) + int(counts.get("quarantined", 0))
    left = int(run.summary.get("open") or 0)
    if state == "failed":
        return "bad", "Failed", f"{run.identity.get('problem') or 'no reason was written'}"
    if state == "crashed":
        return "bad", "Crashed", f"{units.plural(run.outcomes.inputs, 'document')} had ended by then."
    if state == "interrupted":
        return "warn", "Stopped", f"{ok:,} answered, {left:,} of {inputs:,} documents are still open."
    if state == "running":
        return (
            "warn",
            "Running",
            f"{units.plural(run.outcomes.inputs, 'document')} had ended when this page was drawn.",
        )
    asked = inputs - int(counts.get("skipped", 0))
    if not asked:
        return "warn", "Nothing to answer", f"all {inputs:,} documents were skipped."
    if not bad:
        skipped = int(counts.get("skipped", 0))
        more = f"; {skipped:,} more were skipped" if skipped else ""
        every = (
            "The document has"
            if asked == 1
            else "Both documents have"
            if asked == 2
            else f"All {asked:,} documents have"
        )
        return "good", "Complete", f"{every} an answer{more}."
    worst = max(run.outcomes.of("failed", "quarantined"), key=lambda group: group.count, default=None)
    why = (
        f", most of them for one reason: {worst.reason}"
        if worst and worst.count > bad / 2 and len(worst.reason) < 120
        else ""
    )
    word = "Incomplete" if run.identity.get("exit_code") == 3 else "Complete within its limit"
    return "bad" if ok < bad else "warn", word, f"{ok:,} of {asked:,} documents have an answer; {bad:,} failed{why}."


def _verdict(run: RunFacts) -> Markup:
    kind, said, sentence = verdict(run)
    more = None
    if run.state in ("failed", "crashed", "interrupted"):
        more = tag(
            "p",
            "Nothing that had ended is lost: ",
            tag("code", f"runner resume {run.identity.get('run_id')}"),
            " goes on.",
        )
    return tag("div", tag("h1", word(kind, f"{said}:"), " ", foreign(sentence, 600)), more)


def _tiles(run: RunFacts) -> Markup:
    summary, environment = run.summary, run.environment
    tiles = []
    if summary.get("docs_per_hour") and summary.get("generated_tokens"):
        about = [foreign(str(summary.get("conditions", "")).strip("()").replace("),", ","))]
        lives = int(run.identity.get("incarnation") or 1)
        if lives > 1:
            about.append(text(f"; in the last of {lives} lives"))
        tiles.append(tile("valid answers an hour", units.rate(summary["docs_per_hour"]), about, wide=True))
    if summary:
        working = float(summary.get("working_seconds") or 0)
        tokens = float(summary.get("generated_tokens") or 0)
        if working and tokens:
            read = float(summary.get("prompt_tokens") or 0) / working
            tiles.append(tile("tokens a second", units.rate(tokens / working), f"generated; {units.rate(read)} read"))
        about_time = f"{units.seconds(working)} of it with a worker ready" if working else None
        tiles.append(tile("time", duration_text(float(summary.get("seconds") or 0)), about_time))
        resident = sum((summary.get("peak_rss_bytes") or {}).values())
        peak = run.timeline.peaks
        together = max(peak.get("workers_rss_bytes", 0) + peak.get("runner_rss_bytes", 0), 0) or resident
        whole = environment.get("memory_bytes")
        if together:
            tiles.append(tile("memory at most", units.size(together), f"of {units.size(whole)}" if whole else None))
    counts = summary or run.outcomes.statuses
    shares = [
        plots.Share(name, float(counts.get(name) or 0), units.count(counts.get(name) or 0), colour)
        for name, colour in STATUSES
    ]
    shares.append(plots.Share("open", float(summary.get("open") or 0), units.count(summary.get("open") or 0), "s4"))
    bar = plots.stacked("", [share for share in shares if share.value], None) if any(s.value for s in shares) else None
    return tag("div", tag("dl", tiles, cls="tiles") if tiles else None, bar)


def _time(run: RunFacts) -> Markup | None:
    summary = run.summary
    total, working = float(summary.get("seconds") or 0), float(summary.get("working_seconds") or 0)
    if not total:
        return None
    before = total - working
    loading = min(before, run.events.loading_s) if run.events.loading_s is not None else before
    stages = [
        plots.Share("until the first worker was ready", loading, units.seconds(loading), "s4"),
        plots.Share("documents", working, units.seconds(working), "s1"),
        plots.Share("opening and closing", before - loading, units.seconds(before - loading), "s5"),
    ]
    said: Markup | None = None
    crowded = ""
    body: list[object] = [plots.stacked("The run by the clock", [s for s in stages if s.value > 0.05])]
    pace, workers = summary.get("pace") or {}, int(run.environment.get("workers") or 1)
    prefill, decode = float(pace.get("prefill_s") or 0), float(pace.get("decode_s") or 0)
    if working and prefill + decode > 0:
        capacity = max(working * workers, prefill + decode)
        waiting = capacity - prefill - decode
        parts = [
            plots.Share(
                "reading prompts (prefill)",
                prefill,
                f"{units.seconds(prefill)}, {units.share(prefill, capacity)}",
                "s1",
            ),
            plots.Share(
                "writing answers (decode)", decode, f"{units.seconds(decode)}, {units.share(decode, capacity)}", "s2"
            ),
            plots.Share("waiting", waiting, f"{units.seconds(waiting)}, {units.share(waiting, capacity)}", "s5"),
        ]
        name = f"Time of {units.plural(workers, 'worker')} while documents were served"
        body.append(plots.stacked(name, parts))
        said = _advice(prefill, decode, waiting, pace)
        threads = int(run.environment.get("threads_per_worker") or 1)
        on_cpu = any("cpu" in str(worker.get("device")) for worker in run.events.workers.values())
        had = run.timeline.workers_cpu_s / ((prefill + decode) * threads)
        if on_cpu and 0 < had < BUSY_SHARE:
            crowded = (
                f"While they computed, workers had {100 * had:.0f} % of a processor: something else used this machine."
            )
    body.append(run_machine.processor(run.timeline, run.environment, total))
    return tag(
        "div",
        tag("div", body, cls="plots"),
        said,
        crowded and tag("p", word("warn", "Crowded:"), " ", crowded),
        _waste(run.timeline),
    )


def _advice(prefill: float, decode: float, waiting: float, pace: Mapping[str, Any]) -> Markup:
    """What the split says, in a sentence, with the speed of each half."""
    capacity = prefill + decode + waiting
    if waiting > 0.25 * capacity:
        said = (
            "Workers waited much: too few documents for so many rows, slow reading of files, or a last long document."
        )
    elif prefill > 2 * decode:
        said = "Mostly reading: shorter prompts or chunks, and a shared prefix, save more than shorter answers."
    elif decode > 2 * prefill:
        said = (
            "Mostly writing: shorter answers (job.max_tokens) or more rows at once (batching.max_num_seqs) save most."
        )
    else:
        said = "Reading prompts and writing answers cost about the same."
    speeds = []
    for name, tokens, seconds in (
        ("read", pace.get("prefill_tokens"), prefill),
        ("written", pace.get("decode_tokens"), decode),
    ):
        if tokens and seconds > 0:
            speeds.append(f"{units.rate(float(tokens) / seconds)} tokens a second {name}")
    more = f" A busy worker had {' and '.join(speeds)}." if speeds else ""
    return tag("p", said, more)


def _waste(line: Timeline) -> Markup | None:
    """What reading cost, and tokens that no answer holds; nothing where metrics.jsonl does not know."""
    total = line.totals
    said = []
    if total.get("extract_s") or total.get("prepare_s"):
        read, cut = units.seconds(total.get("extract_s", 0)), units.seconds(total.get("prepare_s", 0))
        said.append(
            f"Beside that, threads of the core spent {read} on reading files and {cut} on cutting and encoding."
        )
    if wasted := total.get("wasted_tokens"):
        whole = wasted + total.get("generated_tokens", 0)
        said.append(f"{units.count(wasted)} tokens ({units.share(wasted, whole)}) were generated for no answer.")
    if repairs := total.get("repairs"):
        said.append(f"{units.plural(int(repairs), 'answer')} broke the schema and had to be asked for again.")
    if requeued := total.get("requeued"):
        said.append(f"{units.plural(int(requeued), 'request')} came back and ran again.")
    return tag("p", " ".join(said)) if said else None


def _throughput(run: RunFacts) -> Markup | None:
    line = run.timeline
    if not line or line.seconds <= 0:
        return None
    end, values = line.seconds, line.values
    figures = [plots.bars("Documents an hour", per_hour(line, BUCKETS), end, units.short, "documents an hour")]
    for name, title, colour in (
        ("prompt_tokens_per_s", "Tokens read a second", "s1"),
        ("generated_tokens_per_s", "Tokens written a second", "s2"),
    ):
        if line.peaks.get(name):
            figures.append(
                plots.lines(
                    title, [plots.Line(title, line.at, values[name], colour)], end, units.short, "tokens/s", line.lives
                )
            )
    queue = [
        plots.Line("waiting", line.at, values["pending_requests"], "s5"),
        plots.Line("with a worker", line.at, values["leased"], "s4"),
    ]
    if line.peaks.get("pending_requests") or line.peaks.get("leased"):
        figures.append(plots.lines("Requests", queue, end, units.short, "requests", line.lives))
    said = "Rates of tokens are over the last 15 s; a request counts when it is committed."
    lives = f" Dashed: the run was resumed ({units.plural(len(line.lives), 'time')})." if line.lives else ""
    keys = " Drag over a plot to zoom, double-click or press 0 for all; arrow keys read values."
    return tag("div", plots.grid(*figures), tag("p", said + lives + keys, cls="quiet"))


def _again(run: RunFacts) -> Markup:
    identity = run.identity
    words = [str(item) for item in identity.get("overrides") or () if not str(item).startswith(OF_A_JOB)]
    given = [item for item in words if not item.startswith("+profile=")]
    profile = (run.environment.get("profile") or {}) if isinstance(run.environment.get("profile"), Mapping) else {}
    command = " ".join(["runner", *(shell_word(item) for item in words)])
    chosen = f" ({profile['reason']})" if profile.get("reason") else ""
    lines: list[object] = [
        tag(
            "p",
            "Profile ",
            tag("b", foreign(str(identity.get("profile")))),
            foreign(chosen),
            "; ",
            "what was asked for beside it:" if given else "nothing was changed on the command line.",
        ),
    ]
    if given:
        lines.append(tag("ul", [tag("li", tag("code", foreign(item, 2000))) for item in given]))
    if fitted := profile.get("fitted"):
        lines.append(tag("p", "What the profile asked for and this machine could not give:"))
        lines.append(
            tag(
                "ul",
                [
                    tag(
                        "li",
                        tag("code", foreign(str(f.get("key")))),
                        f": {f.get('was')} → {f.get('now')} ",
                        tag("small", foreign(str(f.get("why")))),
                    )
                    for f in fitted
                ],
            )
        )
    inputs = ", ".join(str(item) for item in identity.get("inputs") or ()) or "the paths of files.list"
    lines += [
        tag("h3", "The same command"),
        tag("pre", "cd ", foreign(shell_word(str(identity.get("cwd") or ".")), 2000), NEWLINE, foreign(command, 6000)),
        tag(
            "p",
            "It read ",
            foreign(inputs, 2000),
            ". Work that is finished is taken over; ",
            tag("code", "output.reuse=never"),
            " does it anew.",
        ),
        run.config_text
        and tag(
            "details",
            tag("summary", "The whole configuration, as composed"),
            tag("pre", foreign(run.config_text, 60_000, lines=True)),
        ),
    ]
    return tag("div", lines)
