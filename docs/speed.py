#!/usr/bin/env python3
"""Draws docs/speed.svg from the measurements in docs/speed.json: a panel of bars for prefill and one for decode.

    python3 docs/speed.py

The first engine of the table is this project's. Only Python's standard library is needed.
"""

import json
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, HEAD, ROW, BAR = 960, 84, 40, 22
# Names end left of the bars of the first panel; the second one has the same order and no names.
NAMES, GAP, EDGE = 230, 56, 24
# The picture brings its own background, so that it reads the same on a dark page.
PAPER, LINE, INK, FADED = "#ffffff", "#d0d5da", "#22262b", "#5a626b"
OURS, OTHERS = "#1f6fb4", "#a3acb6"


def text(x, y, words, size=14, color=INK, anchor="start", weight="normal"):
    style = f'font-size="{size}" fill="{color}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def panel(table, described, left, width):
    """The bars of a panel. The longest leaves room for its number."""
    engines, key = table["engines"], described["key"]
    longest = max(engine[key] for engine in engines)
    parts = [text(left, HEAD + 14, described["title"], 15, INK, weight="bold")]
    top = HEAD + 28
    for at, engine in enumerate(engines):
        y, length = top + at * ROW, (width - 64) * engine[key] / longest
        color, weight = (OURS, "bold") if at == 0 else (OTHERS, "normal")
        parts.append(f'<rect x="{left:g}" y="{y + 7:g}" width="{length:.1f}" height="{BAR}" fill="{color}"/>')
        parts.append(text(left + length + 8, y + 23, f"{engine[key]:,}", 14, INK, weight=weight))
    parts.append(f'<line x1="{left:g}" y1="{top}" x2="{left:g}" y2="{top + ROW * len(engines)}" stroke="{FADED}"/>')
    return parts


def picture(table):
    engines = table["engines"]
    height = HEAD + 28 + ROW * len(engines) + EDGE
    width = (WIDTH - EDGE - NAMES - GAP - EDGE) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif" role="img">',
        f"<title>{escape(table['title'])}</title>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" fill="{PAPER}" stroke="{LINE}"/>',
        text(EDGE, 36, table["title"], 20, INK, weight="bold"),
        text(EDGE, 60, table["subtitle"], 14, FADED),
    ]
    for at, engine in enumerate(engines):
        weight = "bold" if at == 0 else "normal"
        parts.append(text(EDGE + NAMES - 12, HEAD + 28 + at * ROW + 23, engine["name"], 14, INK, "end", weight))
    for at, described in enumerate(table["panels"]):
        parts += panel(table, described, EDGE + NAMES + at * (width + GAP), width)
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    table = json.loads((HERE / "speed.json").read_text(encoding="utf-8"))
    (HERE / "speed.svg").write_text(picture(table), encoding="utf-8")
