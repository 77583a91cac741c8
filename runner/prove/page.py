"""What a plan came to, as lines for a terminal, a Markdown page, an HTML page and the plot in it.

Pure: takes plan, pairs and verdicts, returns text. The plot is a small SVG of our own: a row a step, a dot a pair, a
bar for the interval. Called by commands/tune.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from runner.compare import statistics
from runner.prove.session import Known, Plan, smallest_effect
from runner.prove.steps import BASELINE
from runner.prove.verdict import Verdict

_COLOURS: Final = {"helps": "#1a7f37", "hurts": "#b42318", "no effect": "#57606a"}
_OTHER: Final = "#9a6700"
_ROW: Final = 34
_LEFT, _RIGHT, _WIDTH = 150, 40, 860


def word_of(verdict: Verdict, min_effect: float) -> str:
    """The verdict as it is shown."""
    return f"no effect of {min_effect:.0%} or more" if verdict.word == "no effect" else verdict.word


def _ratio(effect: statistics.Effect | None) -> str:
    return f"{effect.ratio:.3f} [{effect.low:.3f}, {effect.high:.3f}]" if effect else "-"


def lines(plan: Plan, seen: Known, found: Mapping[str, Verdict]) -> list[str]:
    """For the terminal: the baseline, then a step a line."""
    width = max(len(name) for name in found)
    out = [baseline_line(plan, seen)]
    for name, verdict in found.items():
        more = f"  ({verdict.note})" if verdict.note else ""
        figures = f"{plan.measure} {_ratio(verdict.effect)}, cpu {_ratio(verdict.cpu)}, {verdict.pairs} pairs"
        out.append(f"{name:{width}}  {word_of(verdict, plan.min_effect):26} {figures}{more}")
    waiting = [name for name, verdict in found.items() if not verdict.decided]
    if waiting:
        out.append(f"not decided yet: {', '.join(waiting)}; the same command goes on")
    return out


def baseline_line(plan: Plan, seen: Known) -> str:
    """What the machine can show at all."""
    d = seen.figures(BASELINE, plan.measure).deciding
    smallest = smallest_effect(plan, seen)
    if math.isinf(smallest):
        return f"the baseline against itself: {len(d)} of {plan.aa_pairs} pairs; nothing is judged before they are done"
    at = statistics.looks(len(plan.steps))
    text = (
        f"the baseline against itself, {len(d)} pairs: ratio {_ratio(statistics.effect(d))}, a pair's spread "
        f"{statistics.spread(d):.1%}; the smallest effect that {at[-1]} pairs can show here is {smallest:.1%}"
    )
    if statistics.exact_p(d) < 0.01:
        text += "; it differs from itself (p < 0.01): something favours one arm, trust nothing below"
    return text


def markdown(plan: Plan, seen: Known, found: Mapping[str, Verdict], plot: str) -> str:
    """The page as Markdown; `plot` is the file name of the SVG."""
    rows = [
        f"| {name} | **{word_of(v, plan.min_effect)}** | {_ratio(v.effect)} | {_ratio(v.cpu)} | {v.pairs} "
        f"| {abs(v.z):.2f} of {v.boundary:.2f} | {v.note or ' '} |"
        for name, v in found.items()
    ]
    about = [f"- `{s.name}`: {s.about}. A: `{_arm(s.a)}`; B: `{_arm(s.b)}`" for s in plan.steps]
    return "\n".join([
        "# What each tuning step is worth here",
        "",
        conditions(plan),
        "",
        baseline_line(plan, seen) + ".",
        "",
        f"![ratio of {_measured(plan)} with the step to without it]({plot})",
        "",
        f"| step | verdict | {plan.measure} time B / A | CPU time B / A | pairs | z | |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "A ratio below 1 means that a document costs less with the step; in brackets the 95 % interval.",
        f"Judged on {_measured(plan)}; {seen.redone} disturbed pairs were measured again, in {seen.sittings} sittings.",
        "",
        *about,
        "",
    ])  # fmt: skip


def _arm(words: Sequence[str]) -> str:
    return " ".join(words) or "as it is"


def _measured(plan: Plan) -> str:
    return "wall time a document" if plan.measure == "wall" else "processor time a document"


def conditions(plan: Plan) -> str:
    """With what all figures were reached."""
    live = plan.live
    words = " ".join(plan.words)
    return (
        f"{live['chip']}, {live['physical_cores']} cores, {live['memory_gib']} GiB, {live['os']} {live['kernel']}; "
        f"mlx {live['mlx']}, mlx-lm {live['mlx-lm']}; weights {str(live['weights'])[:12]}; `runner {words}`"
    )


def page(plan: Plan, seen: Known, found: Mapping[str, Verdict]) -> str:
    """The same as one HTML file with the plot in it, readable without a network."""
    rows = "".join(
        f"<tr><td><b>{html.escape(name)}</b><br><small>{html.escape(step.about)}</small></td>"
        f'<td style="color:{_COLOURS.get(v.word, _OTHER)}"><b>{word_of(v, plan.min_effect)}</b></td>'
        f"<td>{_ratio(v.effect)}</td><td>{_ratio(v.cpu)}</td><td>{v.pairs}</td><td>{html.escape(v.note)}</td></tr>"
        for step, (name, v) in zip(plan.steps, found.items(), strict=True)
    )
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1f2328}"
        "table{border-collapse:collapse}td,th{padding:.4em .8em;border-bottom:1px solid #d0d7de;text-align:left;"
        "vertical-align:top}small{color:#57606a}svg{max-width:100%;height:auto}"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>What each tuning step is worth here</title><style>{style}</style>"
        f"<h1>What each tuning step is worth here</h1><p>{_as_html(conditions(plan))}</p>"
        f"<p>{html.escape(baseline_line(plan, seen))}.</p>{svg(plan, seen, found)}"
        f"<table><tr><th>step</th><th>verdict</th><th>{plan.measure} time B / A</th><th>CPU time B / A</th>"
        f"<th>pairs</th><th></th></tr>{rows}</table>"
        f"<p><small>Below 1: a document costs less with the step. In brackets: 95 % interval. {seen.redone} disturbed "
        f"pairs were measured again, in {seen.sittings} sittings.</small></p></html>\n"
    )


def _as_html(text: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(text))


def svg(plan: Plan, seen: Known, found: Mapping[str, Verdict]) -> str:
    """A row a step on a logarithmic axis of cost B / A; the grey band is what counts as no effect."""
    rows: list[tuple[str, str, Sequence[float]]] = [
        ("baseline", "#57606a", seen.figures(BASELINE, plan.measure).deciding)
    ]
    for name, verdict in found.items():
        rows.append((name, _COLOURS.get(verdict.word, _OTHER), seen.figures(name, plan.measure).deciding))
    points = [x for _, _, d in rows for x in d] or [0.0]
    low, high = min(*points, math.log(0.9)) - 0.05, max(*points, math.log(1.1)) + 0.05
    height = _ROW * len(rows) + 60

    def at(log: float) -> float:
        return round(_LEFT + (log - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    band = (at(math.log(1 - plan.min_effect)), at(math.log(1 + plan.min_effect)))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-size="13" role="img" '
        'font-family="system-ui,sans-serif" aria-label="cost with each step over cost without it">'
    )
    out = [
        head,
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<rect x="{band[0]}" y="10" width="{band[1] - band[0]:.1f}" height="{height - 50}" fill="#eaeef2"/>',
        f'<line x1="{at(0)}" x2="{at(0)}" y1="10" y2="{height - 40}" stroke="#8c959f"/>',
    ]
    for number, (name, colour, d) in enumerate(rows):
        y = 10 + _ROW * number + _ROW // 2
        out.append(f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>')
        out += [f'<circle cx="{at(x)}" cy="{y}" r="3" fill="{colour}" fill-opacity=".3"/>' for x in d]
        if d:
            effect = statistics.effect(d)
            ends = at(math.log(effect.low)), at(math.log(effect.high))
            out.append(f'<line x1="{ends[0]}" x2="{ends[1]}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>')
            out.append(f'<circle cx="{at(math.log(effect.ratio))}" cy="{y}" r="6" fill="{colour}"/>')
    for tick in _ticks(low, high):
        x = at(math.log(tick))
        out.append(f'<line x1="{x}" x2="{x}" y1="{height - 40}" y2="{height - 35}" stroke="#8c959f"/>')
        out.append(f'<text x="{x}" y="{height - 20}" text-anchor="middle">{tick:g}</text>')
    out.append(f'<text x="{_WIDTH - _RIGHT}" y="{height - 4}" text-anchor="end">cost B / A</text></svg>')
    return "\n".join(out) + "\n"


def _ticks(low: float, high: float) -> list[float]:
    choices = [0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 5.0, 10.0, 20.0, 50.0]
    inside = [tick for tick in choices if low <= math.log(tick) <= high]
    # A wide axis has no room for the ticks near 1.
    return inside if high - low < 1.5 else [tick for tick in inside if tick not in (0.8, 0.9, 1.1, 1.25)]
