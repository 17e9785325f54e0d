# SPDX-License-Identifier: GPL-3.0-or-later
"""One page that works offline: the contact sheet, and the statistics in words, bars and a plot of the cameras."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..rendering.coverage import shares_in_words

TEMPLATE = Path(__file__).with_name("sheet.html")
DOME = 150.0  # radius of a plotted hemisphere, in units of the picture
MOST_ROWS = 400


def page(title: str, facts: list[tuple[str, str]], statistics: dict[str, Any], sheet: Path) -> str:
    """The page's text.

    Args:
        title: of the dataset.
        facts: name and value, shown as they are.
        statistics: see `statistics.statistics`.
        sheet: the contact sheet's PNG, carried inside the page.
    """
    parts = {
        "TITLE": html.escape(title),
        "FACTS": "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts),
        "REMARKS": "".join(f'<p class="note">{html.escape(remark)}</p>' for remark in statistics["remarks"]),
        "SHEET": "data:image/png;base64," + base64.b64encode(sheet.read_bytes()).decode(),
        "CARDS": _cards(statistics),
        "CAMERAS": _cameras(statistics["poses"]["directions"]),
        "COVERAGE": _coverage(statistics["coverage"], statistics["planned"]),
        "OBJECTS": _objects(statistics),
    }
    # one pass: a scene called @SHEET@ stays a scene called @SHEET@
    names = "|".join(parts)
    return re.sub(f"@({names})@", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def _cards(statistics: dict[str, Any]) -> str:
    poses, frame, views = statistics["poses"], statistics["frame"], statistics["views"]
    cards = [
        ("Views", f"{sum(views.values()):,}", ", ".join(f"{count} {split}" for split, count in views.items())),
        (
            "Frame covered",
            _share(frame["covered"]["median"]),
            f"{_share(frame['covered']['least'])} to {_share(frame['covered']['most'])}, the median is shown",
        ),
        (
            "Distance from the centre",
            f"{poses['distance']['median']:.3g}",
            f"{poses['distance']['least']:.3g} to {poses['distance']['most']:.3g} scene units",
        ),
        ("Brightest value", f"{frame['brightest']:.3g}", "scene-linear; a white wall in full light is about 1"),
    ]
    nearest = poses["test_to_train"]
    if nearest:
        cards.append(
            (
                "Test view to nearest training view",
                f"{nearest['median']:.1f}°",
                f"{nearest['least']:.1f}° to {nearest['most']:.1f}°, as the scene's centre sees them",
            )
        )
    depth = statistics["depth"]
    if depth:
        cards.append(("Depth", f"{depth['median']:.3g}", f"{depth['least']:.3g} to {depth['most']:.3g} scene units"))
    return "".join(
        f'<div class="card"><h3>{html.escape(name)}</h3><p class="figure">{html.escape(value)}</p>'
        f'<p class="quiet small">{html.escape(text)}</p></div>'
        for name, value, text in cards
    )


def _cameras(directions: dict[str, list[list[float]]]) -> str:
    """The directions from the centre to the cameras, from above and from below: equal areas stay equal (Lambert)."""
    below = any(way[2] < 0.0 for ways in directions.values() for way in ways)
    discs = [("from above", 1.0), ("from below", -1.0)] if below else [("from above", 1.0)]
    width = len(discs) * (2 * DOME + 40)
    parts = [f'<svg class="dome" viewBox="0 0 {width:.0f} {2 * DOME + 56:.0f}" role="img">']
    for place, (name, side) in enumerate(discs):
        x, y = 20 + DOME + place * (2 * DOME + 40), DOME + 12
        for elevation in (0, 30, 60):
            radius = DOME * np.sqrt(1.0 - np.sin(np.radians(elevation)))
            parts.append(f'<circle class="grid" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>')
            parts.append(f'<text x="{x:.1f}" y="{y - radius + 12:.1f}">{side * elevation:.0f}°</text>')
        for split, ways in directions.items():
            for across, along, up in ways:
                if (up >= 0.0) != (side > 0):
                    continue
                # Lambert's azimuthal equal-area projection, the pole in the middle, the horizon at DOME
                flat = max(float(np.hypot(across, along)), 1e-12)
                radius = DOME * np.sqrt(max(1.0 - abs(up), 0.0))
                u, v = x + across / flat * radius, y - along / flat * radius
                parts.append(f'<circle class="{split}" cx="{u:.1f}" cy="{v:.1f}" r="4"/>')
        parts.append(f'<text class="name" x="{x:.1f}" y="{y + DOME + 26:.1f}">{name}</text>')
    return "".join([*parts, "</svg>"])


def _coverage(coverage: dict[str, Any] | None, planned: dict[str, Any] | None) -> str:
    if coverage is None:
        return '<p class="quiet">The dataset has no depth, so nobody knows what its views cover.</p>'
    shares = (("never", "no training view"), ("once", "one"), ("few", "two or three"), ("more", "more"))
    bars = "".join(
        f'<i class="{name}" style="flex-grow:{coverage[name]:.4f}" title="{_share(coverage[name])}"></i>'
        for name, _ in shares
        if coverage[name] > 0
    )
    expected = "" if planned is None else f'<p class="quiet">When it was planned: {shares_in_words(planned)}.</p>'
    rows = "".join(f'<li><i class="{name}"></i>{text}<b>{_share(coverage[name])}</b></li>' for name, text in shares)
    return (
        f"<p>Places of {coverage['size']:.3g} scene units on the surfaces that views show: {coverage['places']:,}. "
        f"Training views that see one, in the median: {coverage['median']:.0f}. Seen by:</p>"
        f'<div class="stack">{bars}</div><ul class="key">{rows}</ul>{expected}'
    )


def _objects(statistics: dict[str, Any]) -> str:
    objects = statistics["objects"]
    if not objects:
        return '<p class="quiet">The dataset does not know its objects.</p>'
    total = sum(statistics["views"].values())
    rows = []
    for one in objects[:MOST_ROWS]:
        pixels = one["pixels"]
        size = (
            f"{pixels['median']:,.0f}</td><td>{pixels['least']:,.0f} – {pixels['most']:,.0f}"
            if pixels
            else "–</td><td>–"
        )
        rows.append(
            f"<tr><th>{html.escape(one['name'])}</th><td>{html.escape(one['class'])}</td>"
            f'<td><span class="meter"><i style="width:{100 * one["views"] / max(total, 1):.1f}%"></i></span>'
            f"{one['views']}</td><td>{size}</td><td>{one['cut'] or '–'}</td></tr>"
        )
    more = f'<p class="quiet small">{len(objects) - MOST_ROWS} more.</p>' if len(objects) > MOST_ROWS else ""
    return (
        '<div class="scroll"><table><thead><tr><th>Object</th><td>Class</td><td>Views</td><td>Pixels</td>'
        f"<td>least – most</td><td>cut off</td></tr></thead><tbody>{''.join(rows)}</tbody></table></div>{more}"
    )


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.01 or value == 0.0 else f"{value:.1%}"
