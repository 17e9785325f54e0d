# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: metrics.json, the picture of one pair, and one page that works offline."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .metrics import magma
from .picture import write_picture
from .plot import time_to_quality
from .report_folder import METRICS, PAGE, PICTURE
from .words import classic_name, pays_off, title, verdict

HERE = Path(__file__).parent
# CSS pixels of the plot, on a screen and on a phone
WIDE, NARROW = (1180.0, 400.0), (340.0, 320.0)

# The page carries its pictures up to this size, the worst views first; it takes the rest from the folder beside it.
MOST_INLINE_BYTES = 96 << 20
KINDS = {".png": "image/png", ".mp4": "video/mp4"}


def write_report(folder: Path, metrics: dict[str, Any]) -> None:
    """Add index.html, metrics.json and classic_neural.png to a report's `folder`, which already holds the images.

    Raises:
        OSError: something cannot be written.
    """
    (folder / METRICS).write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    room = Room(folder)
    film = None if metrics["turntable"] is None else room.address([metrics["turntable"]["file"]])[0]
    (folder / PAGE).write_text(page(metrics, image_sources(room, metrics), film), encoding="utf-8")
    write_picture(folder / PICTURE, folder, metrics)


def page(metrics: dict[str, Any], sources: dict[int, dict[str, str]], film: str | None = None) -> str:
    """The page's text.

    Args:
        sources: view index to kind (classic, neural, flip) to the image's address.
        film: the turntable's address.
    """
    classic = classic_name(metrics)
    data = {
        "metrics": metrics,
        "classic": classic,
        "verdict": verdict(metrics),
        "paysOff": pays_off(metrics),
        "sources": sources,
        "film": film,
        "magma": ["#" + bytes(colour).hex() for colour in magma()[::15]],
    }
    parts = {
        "TITLE": html.escape(title(metrics)),
        "DATA": json_for_html(data),
        "STYLE": (HERE / "report.css").read_text(encoding="utf-8"),
        "SCRIPT": (HERE / "report.js").read_text(encoding="utf-8"),
        "PLOT_WIDE": time_to_quality(metrics, classic, *WIDE),
        "PLOT_NARROW": time_to_quality(metrics, classic, *NARROW),
    }
    # one pass: a scene called @DATA@ stays a scene called @DATA@
    template = (HERE / "report.html").read_text(encoding="utf-8")
    return re.sub(f"@({'|'.join(parts)})@", lambda found: parts[found[1]], template)


def json_for_html(data: Any) -> str:
    """JSON that can stand inside a <script> element: nothing in it can close the element or open a comment."""
    text = json.dumps(data, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


class Room:
    """How much the page may still carry itself. What no longer fits stays in the report's folder beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes_left = MOST_INLINE_BYTES

    def address(self, names: Sequence[str]) -> list[str]:
        """Addresses of files of the folder that belong together: data URIs, or all of them their names."""
        self._bytes_left -= sum((self._folder / name).stat().st_size for name in names)
        return [_data_uri(self._folder / name) if self._bytes_left >= 0 else name for name in names]


def image_sources(room: Room, metrics: dict[str, Any]) -> dict[int, dict[str, str]]:
    """Addresses of every view's images, the worst view's first into the page."""
    return {
        view["index"]: dict(zip(view["images"], room.address(list(view["images"].values())), strict=True))
        for view in worst_first(metrics["views"])
    }


def worst_first(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Views by falling FLIP: first the one whose difference is seen most."""
    return sorted(views, key=lambda view: -view["flip"])


def _data_uri(path: Path) -> str:
    kind = KINDS[path.suffix]
    return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()
