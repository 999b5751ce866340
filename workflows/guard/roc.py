"""Attack success over false removal, as numbers and as an SVG picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[float, float]
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 320, 52, 28, 176, 44
_COLOURS = ("#2563a8", "#b4552d", "#4a7c3a", "#7b4b94", "#8a6d1d", "#5c5f66")


def curve(attacks: Sequence[Sequence[tuple[bool, float]]], honest: Sequence[float]) -> list[Point]:
    """The curve of one guard, over all its thresholds.

    Args:
        attacks: Per attacked recall its records, best first: whether poisoned, and the score.
        honest: The score of each honest record in a recall for its own text.

    Returns:
        Pairs of false removal and attack success, the strictest threshold last.
    """
    thresholds = sorted({score for recall in attacks for _, score in recall} | set(honest))
    points = []
    for threshold in [*reversed(thresholds), float("-inf")]:
        points.append(at(attacks, honest, threshold))
    return [(0.0, at(attacks, (), float("inf"))[1]), *points]


def at(
    attacks: Sequence[Sequence[tuple[bool, float]]], honest: Sequence[float], threshold: float
) -> Point:
    """False removal and attack success if all from a score on is taken out."""
    followed = 0
    for recall in attacks:
        top = next((poisoned for poisoned, score in recall if score < threshold), False)
        followed += top
    removed = sum(score >= threshold for score in honest)
    return removed / max(len(honest), 1), followed / max(len(attacks), 1)


def best_at(points: Sequence[Point], false_removal: float) -> float:
    """The least attack success with at most this share of honest records taken out."""
    return min((success for removed, success in points if removed <= false_removal), default=1.0)


def svg_roc(curves: Mapping[str, Sequence[Point]], *, title: str) -> str:
    """The curves as an SVG picture that stands alone.

    Args:
        curves: Per guard its points.
        title: Drawn above.
    """
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    # Few would take out more than a quarter of what is honest.
    most = 0.25

    def place(point: Point) -> str:
        return (
            f"{_LEFT + width * min(point[0], most) / most:.1f},{_TOP + height * (1 - point[1]):.1f}"
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-family="system-ui, sans-serif" '
        'font-size="11">',
        f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600" fill="currentColor">'
        f"{escape(title)}</text>",
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + height * (1 - share)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity="0.18"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">'
            f"{share:.0%}</text>"
        )
    for share in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25):
        x = _LEFT + width * share / most
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 26}" text-anchor="middle" fill="currentColor">'
            f"{share:.0%}</text>"
        )
    parts.append(
        f'<text x="{_LEFT + width / 2:.0f}" y="{_HEIGHT - 8}" text-anchor="middle" '
        'fill="currentColor">honest records taken out (up: attacks that succeed)</text>'
    )
    for number, (name, points) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = [(0.0, points[0][1])]
        for point in points:
            if point[0] > most:
                line.append((most, line[-1][1]))
                break
            line += [(point[0], line[-1][1]), point]
        parts.append(
            '<polyline fill="none" stroke-width="2.5" stroke-linejoin="round" '
            f'stroke="{colour}" points="{" ".join(place(point) for point in line)}">'
            f"<title>{escape(name)}</title></polyline>"
        )
        y = _TOP + 8 + 18 * number
        x = _LEFT + width + 16
        parts.append(
            f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{x + 15}" y="{y + 9}" fill="currentColor">{escape(name)}</text>'
        )
    parts.append("</svg>")
    return "\n".join(parts)
