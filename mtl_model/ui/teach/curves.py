"""Curves of a running training as inline SVG, drawn by the server.

Not gr.LinePlot: what a Teach run shows comes from own routes, the same for every browser that looks, and a plot of
Gradio's would need a state and a timer of its own in each page, and its library of charts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from mtl_model import kinds
from mtl_model.events import Evaluated, Event, Started, Step
from mtl_model.kinds import SHARE
from mtl_model.names import isolated
from mtl_model.tasks import Task
from mtl_model.ui.render import escape, named

WIDTH, HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
MOST_POINTS = 120  # of a line; more are averaged
DASHES = (
    "",
    "7 4",
    "2 4",
    "10 4 2 4",
    "14 3",
    "4 2",
)  # colour is never the only sign; six and four colours make twelve

Line = Sequence[tuple[float, float]]


def chart(title: str, lines: Mapping[str, Line], across: str, up: str, unit: str = "", most: float = math.inf) -> str:
    """Lines with axes, labels and a legend. across, up: what the axes count, with the unit. unit: of the figures in the
    legend, where there is one; then each point gets a dot. most: no value is above it."""
    lines = {name: thin(line) for name, line in lines.items() if line}
    if not lines:
        return ""
    points = [point for line in lines.values() for point in line]
    last = max(1.0, *(x for x, _ in points))
    x_ticks = [tick for tick in ticks(0, last) if tick == int(tick) and tick <= last]
    y_ticks = ticks(*_spread([y for _, y in points], most))
    low, high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(LEFT + (WIDTH - LEFT - RIGHT) * x / last, 1),
            round(TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low), 1),
        )

    ground = HEIGHT - BOTTOM
    parts = []
    for tick in y_ticks:
        _, y = place(0, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, _ = place(tick, low)
        parts.append(f'<text class="tick" x="{x}" y="{ground + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{ground}" y2="{ground}"/>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>'
    )
    middle = (TOP + ground) / 2
    turned = f'transform="rotate(-90 12 {middle})"'
    parts.append(f'<text x="12" y="{middle}" text-anchor="middle" {turned}>{escape(up)}</text>')
    for number, line in enumerate(lines.values()):
        placed = [place(x, y) for x, y in line]
        path = " ".join(f"{x},{y}" for x, y in placed)
        parts.append(
            f'<polyline class="line{number % 4}" stroke-dasharray="{DASHES[number % len(DASHES)]}" points="{path}"/>'
        )
        if unit or len(placed) == 1:
            parts += [f'<circle class="line{number % 4}" cx="{x}" cy="{y}" r="3"/>' for x, y in placed]
    told = "; ".join(f"{isolated(name)} from {line[0][1]:.3g} to {line[-1][1]:.3g}" for name, line in lines.items())
    return (
        f'<figure class="plot"><figcaption>{escape(title)}{_legend(lines, unit)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}, {up}: {told}")}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _spread(values: Sequence[float], most: float) -> tuple[float, float]:
    """From the smallest to the largest value; with room around values that are all the same."""
    low, high = min(values), max(values)
    room = 0.2 * (most if math.isfinite(most) else max(abs(low), 0.1)) if high - low < 1e-9 else 0.0
    return (max(0.0, low - room) if low >= 0 else low - room), min(most, high + room)


def _legend(lines: Mapping[str, Line], unit: str) -> str:
    keys = "".join(
        f'<span><svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true"><line class="line{number % 4}" x1="0" '
        f'x2="28" y1="4" y2="4" stroke-dasharray="{DASHES[number % len(DASHES)]}"/></svg>{named(name)} '
        f"<b>{line[-1][1]:.3g}{escape(unit)}</b></span>"
        for number, (name, line) in enumerate(lines.items())
    )
    return f'<span class="legend">{keys}</span>'


def thin(line: Line) -> list[tuple[float, float]]:
    """At most MOST_POINTS points, each the mean of its neighbours; values that are no numbers are left out."""
    whole = [(x, y) for x, y in line if math.isfinite(x) and math.isfinite(y)]
    size = math.ceil(len(whole) / MOST_POINTS)
    if size <= 1:
        return whole
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers around low to high, both included between the first and the last.

    >>> ticks(0.31, 0.94)
    [0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high - low < 1e-9:
        low, high = low - 0.5 * max(abs(low), 0.1), high + 0.5 * max(abs(high), 0.1)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 10) for number in range(first, last + 1)]


def curves(events: Iterable[Event], tasks: Mapping[str, Task]) -> str:
    """The loss of each task while it learns, and each task's figure on the pictures that are kept aside."""
    passes = 1.0
    losses: dict[str, list[tuple[float, float]]] = {}
    shares: dict[str, list[tuple[float, float]]] = {}
    errors: dict[str, dict[str, list[tuple[float, float]]]] = {}  # by unit
    for event in events:
        if isinstance(event, Started):
            passes = max(1e-9, event.steps / max(1, event.epochs))
            for lines in (
                losses,
                shares,
                *errors.values(),
            ):  # what came after the state that it goes on from is learned again
                for line in lines.values():
                    line[:] = [point for point in line if point[0] <= event.first_step / passes + 1e-9]
        elif isinstance(event, Step):
            for name, loss in event.losses.items():
                losses.setdefault(_title(tasks, name), []).append((event.step / passes, loss))
        elif isinstance(event, Evaluated) and event.step:  # at step 0 a fit was measured, once
            for name, metrics in event.metrics.items():
                if headline := kinds.headline(metrics):
                    metric = kinds.all_metrics()[headline]
                    unit = metric.unit_for(tasks.get(name))
                    unit, scale = ("%", 100) if unit == SHARE else (unit, 1)
                    lines = errors.setdefault(unit, {}) if metric.lower_is_better else shares
                    lines.setdefault(_title(tasks, name), []).append((event.epoch + 1, scale * metrics[headline]))
    across = "rounds over the pictures"
    mean_errors = [
        chart("Mean error on pictures kept aside", lines, across, f"{unit} (lower is better)".strip(), f" {unit}")
        for unit, lines in errors.items()
    ]
    return "".join(
        (
            chart("Distance from the labels while learning", losses, across, "distance (lower is better)"),
            chart("Right answers on pictures kept aside", shares, across, "right answers, %", " %", 100),
            *mean_errors,
        )
    )


def _title(tasks: Mapping[str, Task], name: str) -> str:
    return tasks[name].title if name in tasks else name.replace("_", " ").capitalize()
