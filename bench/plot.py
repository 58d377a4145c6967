"""A small line chart as SVG."""

type Curves = dict[str, list[tuple[float, float]]]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 320, 60, 40
_COLOURS = ("#0b6e4f", "#c8553d", "#3d5a80")


def plot(curves: Curves) -> str:
    """Share of the link (0 to 1) over round trip in milliseconds."""
    most = max(x for points in curves.values() for x, _ in points) or 1

    def at(x: float, y: float) -> str:
        right = _LEFT + x / most * (_WIDTH - _LEFT - 100)
        return f"{right:.0f},{_HEIGHT - _BOTTOM - min(y, 1.1) / 1.1 * (_HEIGHT - _BOTTOM - 20):.0f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="13"><rect width="100%" height="100%" fill="white"/>'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(0, share).split(",")
        parts.append(f'<polyline points="{at(0, share)} {at(most, share)}" stroke="#ddd" fill="none"/>')
        parts.append(f'<text x="{int(x) - 8}" y="{int(y) + 4}" text-anchor="end">{share:.0%}</text>')
    for x_value, _ in next(iter(curves.values())):
        x, y = at(x_value, 0).split(",")
        parts.append(f'<text x="{x}" y="{int(y) + 18}" text-anchor="middle">{x_value:g} ms</text>')
    for colour, (name, points) in zip(_COLOURS, curves.items(), strict=False):
        line = " ".join(at(x, y) for x, y in points)
        parts.append(f'<polyline points="{line}" stroke="{colour}" stroke-width="2.5" fill="none"/>')
        x, y = at(*points[-1]).split(",")
        parts.append(f'<text x="{int(x) + 8}" y="{int(y) + 4}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])
