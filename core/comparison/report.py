# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: metrics.json, the picture of one pair, and one page that works offline."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

from .metrics import magma
from .picture import write_picture
from .report_folder import METRICS, PAGE, PICTURE
from .words import classic_name, title, verdict

TEMPLATE = Path(__file__).with_name("report.html")

# The page carries its pictures up to this size, the worst views first; it takes the rest from the folder beside it.
MOST_INLINE_BYTES = 96 << 20


def write_report(folder: Path, metrics: dict[str, Any]) -> None:
    """Add index.html, metrics.json and classic_neural.png to a report's `folder`, which already holds the images.

    Raises:
        OSError: something cannot be written.
    """
    (folder / METRICS).write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page(metrics, image_sources(folder, metrics)), encoding="utf-8")
    write_picture(folder / PICTURE, folder, metrics)


def page(metrics: dict[str, Any], sources: dict[int, dict[str, str]]) -> str:
    """The page's text. `sources`: view index to kind (classic, neural, flip) to the image's address."""
    data = {
        "metrics": metrics,
        "classic": classic_name(metrics),
        "verdict": verdict(metrics),
        "sources": sources,
        "magma": ["#" + bytes(colour).hex() for colour in magma()[::15]],
    }
    parts = {"TITLE": html.escape(title(metrics)), "DATA": json_for_html(data)}
    # one pass: a scene called @DATA@ stays a scene called @DATA@
    return re.sub("@(TITLE|DATA)@", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def json_for_html(data: Any) -> str:
    """JSON that can stand inside a <script> element: nothing in it can close the element or open a comment."""
    text = json.dumps(data, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def image_sources(folder: Path, metrics: dict[str, Any]) -> dict[int, dict[str, str]]:
    """Addresses of every view's images: data URIs, and paths within the folder once the page would grow too large."""
    sources: dict[int, dict[str, str]] = {}
    room = MOST_INLINE_BYTES
    for view in worst_first(metrics["views"]):
        size = sum((folder / name).stat().st_size for name in view["images"].values())
        room -= size
        inline = room >= 0
        sources[view["index"]] = {
            kind: _data_uri(folder / name) if inline else name for kind, name in view["images"].items()
        }
    return sources


def worst_first(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Views by falling FLIP: first the one whose difference is seen most."""
    return sorted(views, key=lambda view: -view["flip"])


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
