#!/usr/bin/env python3
"""Draws latency against throughput: a line for each peer over its numbers of connections, p50 left and p99 right.

usage: benches/plot.py RESULTS.json PLOT.svg        reads what benches/table wrote
"""

import json
import math
import sys
from html import escape
from pathlib import Path

from peers.figures import median

COLOURS = {"sidekey": "#d1242f", "nginx": "#1a7f37", "haproxy": "#0969da", "envoy": "#8250df", "pingora": "#bf8700",
           "relay": "#6e7781"}
WIDTH, HEIGHT, MARGIN, GAP = 460, 360, 56, 24


def steps(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 … around a range."""
    every = [factor * 10.0**power for power in range(0, 8) for factor in (1, 2, 5)]
    inside = [step for step in every if low <= step <= high]
    below, above = [step for step in every if step < low][-1:], [step for step in every if step > high][:1]
    return below + inside + above


def word(micros: float) -> str:
    return f"{micros / 1000:g} ms" if micros >= 1000 else f"{micros:g} µs"


def panel(left: float, title: str, lines: dict[str, list[tuple[int, float, float]]]) -> list[str]:
    """One plot: (connections, requests a second, microseconds) of each peer."""
    points = [point for line in lines.values() for point in line]
    right = max(rate for _, rate, _ in points) * 1.08
    marks = steps(min(time for *_, time in points), max(time for *_, time in points))
    low, high = math.log(marks[0]), math.log(marks[-1])
    x = lambda rate: left + rate / right * WIDTH
    y = lambda time: MARGIN + (high - math.log(time)) / (high - low) * HEIGHT
    drawn = [f'<text x="{left + WIDTH / 2}" y="{MARGIN - 14}" class="title">{escape(title)}</text>']
    for mark in marks:
        drawn.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" class="grid"/>')
        drawn.append(f'<text x="{left - 6}" y="{y(mark) + 4:.1f}" class="y">{word(mark)}</text>')
    wide = next(step for step in (2000, 5000, 10000, 20000, 50000) if right / step <= 8)
    for rate in range(0, int(right), wide):
        drawn.append(f'<line x1="{x(rate):.1f}" x2="{x(rate):.1f}" y1="{MARGIN}" y2="{MARGIN + HEIGHT}" class="grid"/>')
        drawn.append(f'<text x="{x(rate):.1f}" y="{MARGIN + HEIGHT + 16}" class="x">{rate // 1000}k</text>')
    drawn.append(f'<text x="{left + WIDTH / 2}" y="{MARGIN + HEIGHT + 36}" class="x">requests/s</text>')
    for name, line in lines.items():
        colour = COLOURS.get(name, "#000")
        path = " ".join(f"{x(rate):.1f},{y(time):.1f}" for _, rate, time in line)
        wide = 3 if name == "sidekey" else 1.5
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"/>')
        for connections, rate, time in line:
            drawn.append(f'<circle cx="{x(rate):.1f}" cy="{y(time):.1f}" r="3.5" fill="{colour}"><title>{name}, {connections} '
                         f'connections: {rate:,.0f} requests/s, {word(round(time))}</title></circle>')
        if name == "sidekey":
            drawn += [f'<text x="{x(rate) + 6:.1f}" y="{y(time) - 6:.1f}" class="count">{connections}</text>'
                      for connections, rate, time in line]
    return drawn


def draw(results: list[dict]) -> str:
    """The whole picture, of results of one form at several numbers of connections."""
    results = sorted(results, key=lambda result: result["shape"]["connections"])
    names = [name for name in COLOURS if all(name in result["peers"] for result in results)]
    def lines(field: str) -> dict[str, list[tuple[int, float, float]]]:
        return {name: [(result["shape"]["connections"], median(result, name, "per_second"), median(result, name, field))
                       for result in results] for name in names}

    whole, second = 2 * (WIDTH + MARGIN) + GAP + 20, MARGIN + WIDTH + GAP + MARGIN
    counts = ", ".join(str(result["shape"]["connections"]) for result in results)
    drawn = panel(MARGIN + 10, f"p50 at {counts} connections", lines("p50"))
    drawn += panel(second + 10, f"p99 at {counts} connections", lines("p99"))
    for at, name in enumerate(names):
        left = MARGIN + 10 + at * 120
        drawn.append(f'<rect x="{left}" y="{MARGIN + HEIGHT + 50}" width="14" height="14" fill="{COLOURS[name]}"/>')
        drawn.append(f'<text x="{left + 20}" y="{MARGIN + HEIGHT + 62}" class="legend">{escape(name)}</text>')
    style = ("text{font:12px sans-serif;fill:#24292f}.title{font-weight:bold;text-anchor:middle}.y{text-anchor:end}"
             ".x{text-anchor:middle}.grid{stroke:#d0d7de;stroke-width:.6}.count{fill:#d1242f}")
    size = f'width="{whole}" height="{MARGIN + HEIGHT + 80}" viewBox="0 0 {whole} {MARGIN + HEIGHT + 80}"'
    back = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{back}\n' + "\n".join(drawn) + "\n</svg>\n"


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 64
    rows = json.loads(Path(sys.argv[1]).read_text())["rows"]
    Path(sys.argv[2]).write_text(draw([row for name, row in rows.items() if name.startswith("plain ")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
