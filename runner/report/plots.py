"""Plots as SVG of our own: lines over time, histograms, stacked bars, dots. Shapes alone are in the SVG, which
stretches to the width there is; words and numbers of the axes are HTML beside it and keep their size on a phone and
in both themes.

That, a policy without inline styles, and no 78 MiB of libraries with half a second of import at the end of each run
are why this is not matplotlib (docs/report.md has the figures). Pure. Called by the pages; page.js adds reading and
zoom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.report import units
from runner.report.markup import Markup, join, tag
from runner.report.sample import Sample, nice_time, nice_top, thinned

WIDTH, HEIGHT = 1000, 200
BINS = 32


@dataclass(frozen=True, slots=True)
class Line:
    """One series; `colour` is a class of the style sheet, s1 to s4."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: str = "s1"


@dataclass(frozen=True, slots=True)
class Dot:
    """One point of a scatter: where it is, what it says when pointed at, and its class."""

    x: float
    y: float
    says: str
    colour: str = "s1"


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a stacked bar."""

    name: str
    value: float
    shown: str
    colour: str


def _axis(top: float, show: units.Show, steps: int = 4) -> list[str]:
    return ["0", *(show(top * step / steps) for step in range(1, steps + 1))]


def _figure(
    title: str,
    says: str,
    shapes: Sequence[Markup],
    x: Sequence[str],
    y: Sequence[str],
    under: object = None,
    words: bool = False,
    **data: object,
) -> Markup:
    grid = [tag("line", x1=0, x2=WIDTH, y1=HEIGHT * step / 4, y2=HEIGHT * step / 4, cls="grid") for step in range(5)]
    plot = tag(
        "svg",
        *grid,
        *shapes,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title}: {says}",
        **data,
    )
    return tag(
        "figure",
        tag("figcaption", title, tag("output") if "data_x" in data else None),
        tag(
            "div",
            tag("div", [tag("span", word) for word in reversed(y)], cls="y", aria_hidden="true"),
            tag("div", plot, cls="area"),
            tag("div", [tag("span", word) for word in x], cls="x words" if words else "x", aria_hidden="true"),
            cls="plot",
        ),
        under and tag("div", under, cls="under"),
    )


def _points(points: Sequence[tuple[float, float]], x_top: float, y_top: float) -> str:
    return " ".join(f"{x / x_top * WIDTH:.1f},{HEIGHT - y / y_top * HEIGHT:.1f}" for x, y in points)


def lines(
    title: str, series: Sequence[Line], x_top: float, show: units.Show, unit: str, marks: Sequence[float] = ()
) -> Markup:
    """Values over time, zero at the bottom. `marks`: moments to draw a line at (a later life of the run begins)."""
    highest = max((max(line.ys, default=0.0) for line in series), default=0.0)
    top = nice_top(highest) if unit != "bytes" else _nice_bytes(highest)
    x_top = nice_time(x_top)
    shapes = [tag("line", x1=m / x_top * WIDTH, x2=m / x_top * WIDTH, y1=0, y2=HEIGHT, cls="mark") for m in marks]
    for line in series:
        points = _points(thinned(line.xs, line.ys), x_top, top)
        if len(series) == 1 and line.xs:
            first, last = (x / x_top * WIDTH for x in (line.xs[0], line.xs[-1]))
            shapes.append(
                tag("polygon", points=f"{first:.1f},{HEIGHT} {points} {last:.1f},{HEIGHT}", cls=f"fill {line.colour}")
            )
        shapes.append(tag("polyline", points=points, cls=line.colour, data_name=line.name))
    says = "; ".join(
        f"{line.name} from {show(min(line.ys, default=0.0))} to {show(max(line.ys, default=0.0))}" for line in series
    )
    legend = [_key(line.name, line.colour) for line in series] if len(series) > 1 else None
    return _figure(
        title,
        f"{says}, over {units.clock(x_top)}",
        shapes,
        _axis(x_top, _clock(x_top)),
        _axis(top, show),
        legend,
        data_x=x_top,
        data_y=top,
        data_unit=unit,
    )


def _clock(top: float) -> units.Show:
    """Times of one axis all in one form."""
    if top >= 100:
        return lambda value: units.clock(max(value, 100)) if value >= 100 else units.clock(value) if value else "0"
    return lambda value: f"{value:.3g} s"


def _nice_bytes(value: float) -> float:
    """The axis of a size ends at a round number of its unit."""
    unit = next((unit for unit in (2**30, 2**20, 2**10) if value >= unit), 1)
    return nice_top(value / unit) * unit


def _nice_of(show: units.Show) -> Callable[[float], float]:
    """How an axis of these numbers ends."""
    return nice_time if show is units.seconds else _nice_bytes if show is units.size else nice_top


def histogram(title: str, sample: Sample, show: units.Show, what: str = "documents") -> Markup:
    """How often which value; the last bar holds what lies above the axis. Under it the quantiles."""
    half, most, nearly, highest = sample.quantiles(0.5, 0.9, 0.99, 1.0)
    top = _nice_of(show)(min(highest, max(nearly * 1.15, half * 2)) or highest)
    bins = sample.bins(top, BINS)
    tallest = nice_top(max(bins))
    width = WIDTH / BINS
    bars = [
        tag(
            "rect",
            tag("title", f"{show(number * top / BINS)} to {show((number + 1) * top / BINS)}: {units.count(value)}"),
            x=f"{number * width:.1f}",
            y=f"{HEIGHT - value / tallest * HEIGHT:.1f}",
            width=f"{width * 0.86:.1f}",
            height=f"{value / tallest * HEIGHT:.1f}",
            cls="s1",
        )
        for number, value in enumerate(bins)
        if value
    ]
    at = min(half / top, 1) * WIDTH
    bars.append(tag("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=0, y2=HEIGHT, cls="mark"))
    figures = [("median", half), ("90 %", most), ("99 %", nearly), ("most", highest)]
    under = [tag("span", tag("b", show(value)), f" {name}") for name, value in figures]
    says = f"median {show(half)}, 90 % below {show(most)}, 99 % below {show(nearly)}, most {show(highest)}; {what}"
    return _figure(title, says, bars, _axis(top, show), _axis(tallest, units.short), under)


def bars(title: str, heights: Sequence[float], x_top: float, show: units.Show, unit: str) -> Markup:
    """One bar a span of time, without gaps."""
    top, end = nice_top(max(heights, default=0.0)), nice_time(x_top)
    width = WIDTH * x_top / end / max(1, len(heights))
    shapes = [
        tag(
            "rect",
            x=f"{n * width:.1f}",
            y=f"{HEIGHT - h / top * HEIGHT:.1f}",
            width=f"{width * 0.9:.1f}",
            height=f"{h / top * HEIGHT:.1f}",
            cls="s3",
        )
        for n, h in enumerate(heights)
        if h > 0
    ]
    says = f"at most {show(max(heights, default=0.0))} {unit}, over {units.clock(x_top)}"
    return _figure(title, says, shapes, _axis(end, _clock(end)), _axis(top, show))


def dots(
    title: str,
    points: Sequence[Dot],
    x: tuple[float, units.Show],
    y: tuple[float, units.Show],
    front: Sequence[tuple[float, float]] = (),
    ticks: Sequence[str] | None = None,
) -> Markup:
    """A scatter. `x` and `y`: the end of the axis and how its numbers are written; `ticks` instead of numbers for x."""
    (x_top, show_x), (y_top, show_y) = x, y
    shapes = [tag("polyline", points=_points(front, x_top, y_top), cls="front")] if len(front) > 1 else []
    for dot in points:
        at = f"M{dot.x / x_top * WIDTH:.1f} {HEIGHT - dot.y / y_top * HEIGHT:.1f}h.01"
        shapes.append(tag("path", tag("title", dot.says), d=at, cls=f"dot {dot.colour}"))
    says = "; ".join(dot.says for dot in points[:20])
    marks = _axis(x_top, show_x) if ticks is None else ticks
    return _figure(title, says, shapes, marks, _axis(y_top, show_y), words=ticks is not None)


def _key(name: str, colour: str, shown: str = "") -> Markup:
    swatch = tag("svg", tag("rect", width=10, height=10, rx=2, cls=colour), viewBox="0 0 10 10", aria_hidden="true")
    return tag("span", swatch, " ", name, shown and [" ", tag("b", shown)], cls="key")


def stacked(title: str, parts: Sequence[Share], whole: float | None = None) -> Markup:
    """One bar of parts, each named under it with its number; `whole` is the bar's length when it is more than its
    parts."""
    total = whole or sum(part.value for part in parts) or 1.0
    shapes, at = [], 0.0
    for part in parts:
        length = max(0.0, part.value) / total * 100
        if length > 0:
            shapes.append(
                tag(
                    "rect",
                    tag("title", f"{part.name}: {part.shown}"),
                    x=f"{at:.2f}%",
                    width=f"{length:.2f}%",
                    height="100%",
                    cls=part.colour,
                )
            )
        at += length
    says = ", ".join(f"{part.name} {part.shown}" for part in parts)
    legend = [_key(part.name, part.colour, part.shown) for part in parts if part.value > 0 or whole is None]
    return tag(
        "figure",
        title and tag("figcaption", title),
        tag("svg", shapes, cls="bar", role="img", aria_label=f"{title}: {says}"),
        tag("div", legend, cls="under"),
    )


def grid(*figures: Markup | None, small: bool = False) -> Markup:
    """Plots side by side where there is room."""
    return tag("div", join([figure for figure in figures if figure]), cls="plots small" if small else "plots")
