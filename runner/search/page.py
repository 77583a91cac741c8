"""What a study came to, as a Markdown table and as lines for a terminal. Pure. Called by commands/tune_search."""

from __future__ import annotations

from collections.abc import Mapping

from runner.config.sizes import format_size
from runner.search import front
from runner.search.space import overrides
from runner.search.study import Candidate, Plan


def _order(found: Mapping[int, front.Figures], ahead: list[int]) -> list[int]:
    rest = sorted((n for n in found if n not in ahead), key=lambda number: -found[number].docs_per_hour)
    return [*ahead, *rest]


def _words(plan: Plan, candidate: Candidate) -> str:
    return " ".join(overrides(plan.space, candidate.point)) or "as it is"


def _spread(candidate: Candidate) -> str:
    speeds = [each.docs_per_hour for each in candidate.rounds.values()]
    return f"{min(speeds):.0f}-{max(speeds):.0f}" if len(speeds) > 1 else ""


def lines(plan: Plan, candidates: Mapping[int, Candidate], found: Mapping[int, front.Figures]) -> list[str]:
    """For the terminal: who is compared, the front first, then what did not run."""
    ahead = front.front(found, plan.memory_bytes)
    out = [f"{'':2}{'trial':>5} {'docs/h':>8} {'spread':>12} {'memory':>10} {'valid':>7}  overrides"]
    for number in _order(found, ahead):
        each, figures = candidates[number], found[number]
        mark = "*" if number in ahead else "!" if not front.fits(figures, plan.memory_bytes) else " "
        out.append(
            f"{mark:2}{number:5} {figures.docs_per_hour:8.0f} {_spread(each):>12} "
            f"{format_size(figures.memory_bytes):>10} {figures.quality:7.1%}  {_words(plan, each)}"
        )
    out.append(
        "* on the front: no other is better in one and worse in none" + "; ! over the memory limit" * _over(plan)
    )
    for number, each in sorted(candidates.items()):
        if each.said:
            out.append(
                f"  {number:5} {'refused' if each.refused else 'does not run'}: {_words(plan, each)}: {each.said}"
            )
    return out


def _over(plan: Plan) -> bool:
    return plan.memory_bytes is not None


def conditions(plan: Plan) -> str:
    """With what all figures were reached."""
    live = plan.live
    return (
        f"{live['chip']}, {live['physical_cores']} cores, {live['memory_gib']} GiB, {live['os']} {live['kernel']}; "
        f"mlx {live['mlx']}, mlx-lm {live['mlx-lm']}; weights {str(live['weights'])[:12]}; "
        f"`runner {' '.join(plan.words)}`"
    )


def markdown(plan: Plan, candidates: Mapping[int, Candidate], found: Mapping[int, front.Figures]) -> str:
    """The page beside the study's file."""
    ahead = front.front(found, plan.memory_bytes)
    compared = {number: candidates[number] for number in _order(found, ahead)}
    rows = [_row(plan, each, found[number], number in ahead) for number, each in compared.items()]
    others = [each for number, each in sorted(candidates.items()) if number not in compared]
    tried = [_row(plan, each, each.explored, False) for each in others if each.explored is not None]
    failed = [f"- trial {each.number}, `{_words(plan, each)}`: {each.said}" for each in others if each.said]
    head = ["| trial | overrides | docs/h | spread | memory | valid | front |", "|---|---|---|---|---|---|---|"]
    limit = f" Memory limit {format_size(plan.memory_bytes)}." if plan.memory_bytes is not None else ""
    how = f"Medians of rounds in which each ran once, in random order.{limit}"
    what = "Memory: the peaks of all processes added up; valid: documents ok of those asked for."
    return "\n".join([
        "# What is fastest here",
        "",
        conditions(plan),
        "",
        f"{how} {what}",
        "",
        *head,
        *rows,
        *(["", "Tried once, at different times, and not compared:", "", *head, *tried] if tried else []),
        *(["", "Did not run:", "", *failed] if failed else []),
        "",
    ])  # fmt: skip


def _row(plan: Plan, each: Candidate, figures: front.Figures, ahead: bool) -> str:
    size, mark = format_size(figures.memory_bytes), "yes" if ahead else " "
    return (
        f"| {each.number} | `{_words(plan, each)}` | {figures.docs_per_hour:.0f} | {_spread(each) or ' '} | {size} "
        f"| {figures.quality:.1%} | {mark} |"
    )
