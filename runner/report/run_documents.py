"""Parts of a run's report about its documents: how long, how large, what failed, what was left out, a few answers.
Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.report import plots, units
from runner.report.markup import Markup, foreign, tag
from runner.report.outcomes import Example, Group, Outcomes
from runner.report.shell import Cell, table

SHOWN_GROUPS = 12
SHOWN_CHARS = 600


def distributions(found: Outcomes) -> Markup | None:
    """Histograms of time and length; nothing when this run asked the model nothing."""
    shapes = (
        ("latency_s", "Time a document took, from its batch to its last token", units.seconds),
        ("queued_s", "Time in the queue before", units.seconds),
        ("token_s", "Time a token of its answer", units.seconds),
        ("tokens_in", "Tokens of the prompt", units.short),
        ("tokens_out", "Tokens of the answer", units.short),
        ("text_bytes", "Size of the text", units.size),
    )
    figures = [
        plots.histogram(title, found.samples[name], show)
        for name, title, show in shapes
        if found.samples[name].count and found.samples[name].high > 0
    ]
    if not figures:
        return None
    whole = found.samples["tokens_out"].count
    cut = found.finish_reasons.get("length", 0)
    said = f"Of {units.plural(whole, 'document')} that this run asked the model for."
    if cut:
        answers = sum(found.finish_reasons.values())
        said += f" {cut:,} of {answers:,} answers were cut at job.max_tokens."
    return tag("div", tag("p", said), plots.grid(*figures), _slowest(found))


def _slowest(found: Outcomes) -> Markup | None:
    if len(found.slowest) < 2:
        return None
    rows: list[Sequence[object]] = [
        (
            foreign(item.source),
            Cell(units.seconds(item.seconds), round(item.seconds, 3)),
            Cell(units.count(item.tokens_in), item.tokens_in),
            Cell(units.count(item.tokens_out), item.tokens_out),
        )
        for _, _, item in found.slowest
    ]
    made = table("the documents that took longest", ["document", "#time", "#tokens in", "#tokens out"], rows)
    return tag("details", tag("summary", f"The {len(rows)} slowest documents"), made)


def failures(found: Outcomes) -> Markup | None:
    """Grouped by reason, most frequent first, each with examples."""
    groups = found.of("failed", "quarantined")
    if not groups:
        return None
    return _groups(groups, sum(group.count for group in groups), found.inputs)


def left_out(found: Outcomes, summary: Mapping[str, Any]) -> Markup | None:
    """Skipped documents by reason; duplicates, reused work, what of a document did not reach the model."""
    lines: list[object] = []
    duplicates = int((summary.get("core") or {}).get("duplicates") or found.duplicates)
    if duplicates:
        lines.append(f"{units.plural(duplicates, 'document')} had the same bytes as another one and got its answer.")
    if found.reused:
        lines.append(f"{units.plural(found.reused, 'document')} taken over whole from an earlier run.")
    if found.partly_covered:
        lost = f"{found.not_covered_bytes:,} bytes of text never reached the model (job.max_chunks)"
        lines.append(f"{units.plural(found.partly_covered, 'answered document')} answered in part: {lost}.")
    if found.partly_read:
        lines.append(
            f"{units.plural(found.partly_read, 'file')} could be read in part only; results.jsonl says what is missing."
        )
    retried = sum(count for attempts, count in found.attempts.items() if attempts > 1)
    if retried:
        lines.append(f"{units.plural(retried, 'document')} took more than one attempt.")
    if found.unreadable:
        lines.append(
            f"{units.plural(found.unreadable, 'line')} of results.jsonl could not be read and are not counted here."
        )
    groups = found.of("skipped")
    if not groups and not lines:
        return None
    body: list[object] = [tag("ul", [tag("li", line) for line in lines]) if lines else None]
    if groups:
        body.append(_groups(groups, sum(group.count for group in groups), found.inputs, folded=True))
    kinds = sorted(
        {name for name, _ in found.types}, key=lambda name: -sum(n for (k, _), n in found.types.items() if k == name)
    )
    if len(kinds) > 1:
        body.append(_types(found, kinds[:15]))
    return tag("div", body)


def _types(found: Outcomes, kinds: Sequence[str]) -> Markup:
    statuses = ("ok", "failed", "quarantined", "skipped")
    rows: list[Sequence[object]] = [
        (
            tag("code", foreign(kind)),
            *(Cell(units.count(n) if (n := found.types[kind, status]) else "·", n) for status in statuses),
        )
        for kind in kinds
    ]
    return table("by kind of file", ["kind", *(f"#{status}" for status in statuses)], rows)


def _groups(groups: Sequence[Group], whole: int, inputs: int, folded: bool = False) -> Markup:
    shown = [
        tag(
            "div",
            tag("b", f"{group.count:,}"),
            " ",
            tag("span", f"{group.status}, {units.share(group.count, inputs)} of all", cls="quiet"),
            tag("div", foreign(group.reason)),
            _examples(group, folded and group.count > len(group.examples)),
            cls=f"reason {group.status}",
        )
        for group in groups[:SHOWN_GROUPS]
    ]
    rest = groups[SHOWN_GROUPS:]
    more = None
    if rest:
        count = sum(group.count for group in rest)
        more = tag(
            "p",
            f"{units.plural(len(rest), 'further reason')} for {units.plural(count, 'document')} of {whole:,}: ",
            tag("code", "failures.jsonl"),
            " and ",
            tag("code", "results.jsonl"),
            " have all.",
            cls="quiet",
        )
    return tag("div", shown, more)


def _examples(group: Group, folded: bool) -> Markup:
    shown = [_example(item, group.reason) for item in group.examples]
    if not folded:
        return tag("div", shown)
    return tag("details", tag("summary", "Examples"), shown)


def _example(item: Example, reason: str) -> Markup:
    return tag(
        "div",
        tag("code", foreign(item.source)),
        tag("small", " ", foreign(item.reason)) if item.reason != reason else None,
        _quote(item) if item.output else None,
        cls="example",
    )


def _quote(item: Example) -> Markup:
    """Cut to what a page has room for, with the whole length said."""
    cut = item.output_chars > SHOWN_CHARS
    more = tag("small", f" … ({item.output_chars:,} characters)") if cut else None
    return tag("blockquote", foreign(item.output[:SHOWN_CHARS], SHOWN_CHARS, lines=True), more, tabindex=0)


def answers(found: Outcomes) -> Markup | None:
    """A few, drawn by chance, for the eye: no figure says whether an answer is any good."""
    if not found.answers:
        return None
    shown = [
        tag(
            "div",
            tag("code", foreign(item.source)),
            tag("small", f" {item.tokens_in:,} tokens in, {item.tokens_out:,} out, {units.seconds(item.seconds)}")
            if item.tokens_out
            else None,
            _quote(item),
            cls="example",
        )
        for item in found.answers
    ]
    ok = found.statuses["ok"]
    if ok == len(shown):
        return tag("div", tag("p", "All of them."), shown)
    return tag(
        "div",
        tag("p", f"{len(shown)} of {ok:,}, drawn by chance. The others: ", tag("code", "results.jsonl"), "."),
        shown,
    )
