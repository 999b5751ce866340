"""The learning curve of a stream of tasks, in the terminal and as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WINDOW = 10
"""Tasks over which success is averaged."""
_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 240, 48, 28, 16, 40


def rolling(values: Sequence[float], window: int = WINDOW) -> list[float]:
    """The mean of each value with up to `window - 1` before it."""
    means = []
    for end in range(1, len(values) + 1):
        part = values[max(0, end - window) : end]
        means.append(sum(part) / len(part))
    return means


def blocks(values: Sequence[float], size: int = WINDOW) -> list[tuple[int, int, float]]:
    """Means of consecutive blocks: (first, last, mean), counted from 1."""
    return [
        (start + 1, min(start + size, len(values)), sum(part) / len(part))
        for start in range(0, len(values), size)
        if (part := values[start : start + size])
    ]


def terminal_curve(values: Sequence[float]) -> str:
    """A line of bars of the rolling mean, and a row for each block of ten tasks."""
    if not values:
        return "No task has ended yet."
    line = "".join(_BARS[round(mean * (len(_BARS) - 1))] for mean in rolling(values))
    rows = [
        f"  tasks {first:>3}-{last:<3}  {mean:>4.0%}  {'█' * round(mean * 30)}"
        for first, last, mean in blocks(values)
    ]
    return "\n".join([f"  success over the last {WINDOW} tasks: {line}", *rows])


def svg_curve(series: dict[str, Sequence[float]], *, title: str = "Success") -> str:
    """The rolling means as an SVG picture that stands alone.

    Args:
        series: Per name the outcomes in [0, 1], in order.
        title: Drawn above.
    """
    longest = max((len(values) for values in series.values()), default=0)
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def point(index: int, value: float) -> str:
        x = _LEFT + inner_width * (index / max(longest - 1, 1))
        y = _TOP + inner_height * (1 - value)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-family="system-ui, sans-serif" '
        'font-size="11">',
        f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600" fill="currentColor">'
        f"{escape(title)}</text>",
    ]
    for share in (0.0, 0.5, 1.0):
        y = _TOP + inner_height * (1 - share)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity="0.18"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">'
            f"{share:.0%}</text>"
        )
    for number in sorted({1, max(1, longest // 2), max(1, longest)}):
        x = _LEFT + inner_width * ((number - 1) / max(longest - 1, 1))
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 20}" text-anchor="middle" fill="currentColor">'
            f"{number}</text>"
        )
    parts.append(
        f'<text x="{_LEFT + inner_width / 2:.0f}" y="{_HEIGHT - 5}" text-anchor="middle" '
        f'fill="currentColor">task (mean of the last {WINDOW})</text>'
    )
    colours = ("#2563a8", "#b4552d", "#4a7c3a", "#7b4b94")
    for index, (name, values) in enumerate(series.items()):
        if not values:
            continue
        colour = colours[index % len(colours)]
        # The mean of very few tasks jumps about and says nothing.
        points = [point(*pair) for pair in enumerate(rolling(values))][min(4, len(values) - 1) :]
        parts.append(
            '<polyline fill="none" stroke-width="2.5" stroke-linejoin="round" '
            f'stroke="{colour}" points="{" ".join(points)}">'
            f"<title>{escape(name)}</title></polyline>"
        )
        if len(series) > 1:
            x = _WIDTH - _RIGHT - 130 * (len(series) - index)
            parts.append(
                f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/>'
                f'<text x="{x + 15}" y="17" fill="currentColor">{escape(name)}</text>'
            )
    parts.append("</svg>")
    return "\n".join(parts)
