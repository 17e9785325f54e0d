# SPDX-License-Identifier: GPL-3.0-or-later
"""Time to quality as one SVG: how good a frame of Cycles is after how many seconds, and how good the twin was when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

# marks of the axis of seconds
MOMENTS = {
    0.001: "1 ms",
    0.01: "10 ms",
    0.1: "0.1 s",
    1.0: "1 s",
    10.0: "10 s",
    60.0: "1 min",
    600.0: "10 min",
    3600.0: "1 h",
    36000.0: "10 h",
    360000.0: "100 h",
}
# mean width of a letter and height of a line of the plot's text, in CSS pixels
LETTER, LINE = 6.7, 15.0
# the first moments of a training are worse than anything that matters
BELOW_CYCLES = 6.0
WIDE = 500.0

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass
class Drawing:
    """A plot of `width` by `height` while it is drawn: where seconds and decibels lie, and what is taken.

    Attributes:
        seconds, decibels: the axes' limits. parts: of the SVG. taken: boxes that words should not cover.
    """

    width: float
    height: float
    seconds: Point
    decibels: Point
    parts: list[str] = field(default_factory=list)
    taken: list[Box] = field(default_factory=list)

    left, right, top, bottom = 36.0, 12.0, 24.0, 46.0

    def place(self, seconds: float, psnr: float) -> Point:
        """Logarithmic in seconds."""
        first, last = (math.log(value) for value in self.seconds)
        low, high = self.decibels
        across = (math.log(seconds) - first) / (last - first)
        up = (psnr - low) / (high - low)
        x = self.left + across * (self.width - self.left - self.right)
        return x, self.height - self.bottom - up * (self.height - self.top - self.bottom)

    def line(self, side: str, moments: Sequence[Point]) -> None:
        """A curve through (seconds, PSNR)."""
        points = [self.place(*moment) for moment in moments]
        self.parts.append(f'<path class="{side} line" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')
        for (x0, y0), (x1, y1) in pairwise(points):
            steps = max(1, round(math.hypot(x1 - x0, y1 - y0) / 5.0))
            for step in range(steps + 1):
                x, y = x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps
                self.taken.append((x - 2, y - 2, x + 2, y + 2))

    def dot(self, side: str, moment: Point, radius: float) -> None:
        x, y = self.place(*moment)
        self.parts.append(f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>')
        self.taken.append((x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1))

    def words(self, kind: str, at: Point, lines: Sequence[str], always: bool = True) -> None:
        """Words beside a moment, where they cover least; when that is something, not at all unless `always`."""
        x, y = self.place(*at)
        letter = LETTER * (1.1 if "name" in kind else 1.0)  # names are bold
        width, height = letter * max(map(len, lines)), LINE * len(lines)
        beside = [(x - width / 2, y - height - 9), (x - width / 2, y + 7)]
        beside += [(x + 11, y - height / 2), (x - width - 11, y - height / 2)]
        beside += [(x - width, y - height - 9), (x, y - height - 9), (x - width, y + 7), (x, y + 7)]
        if not always:  # a number belongs below its dot, or to the right
            beside = [beside[1], (x + 4, y + 5), beside[2]]
        inside = [
            (max(self.left + 3, min(left, self.width - width - 2)), max(2.0, min(top, self.height - height - 2)))
            for left, top in beside
        ]
        boxes = [(left, top, left + width, top + height) for left, top in inside]
        best = min(boxes, key=self._covers)
        if self._covers(best) and not always:
            return
        self.taken.append(best)
        for number, text in enumerate(lines):
            middle, foot = (best[0] + best[2]) / 2, best[1] + LINE * (number + 0.8)
            self.parts.append(
                f'<text class="{kind}" x="{middle:.1f}" y="{foot:.1f}" text-anchor="middle">{text}</text>'
            )

    def _covers(self, box: Box) -> int:
        return sum(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in self.taken
        )

    def grid(self) -> None:
        """Hairlines, marks and the names of the axes."""
        floor, end = self.height - self.bottom, self.width - self.right
        low, high = self.decibels
        step = 5 if high - low <= 30 else 10
        for psnr in range(math.ceil(low / step) * step, int(high) + 1, step):
            y = self.place(self.seconds[0], psnr)[1]
            self.parts.append(f'<path class="grid" d="M{self.left:.1f} {y:.1f}H{end:.1f}"/>')
            self.parts.append(f'<text x="{self.left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{psnr}</text>')
        taken = -math.inf
        for seconds, text in MOMENTS.items():
            if self.seconds[0] <= seconds <= self.seconds[1] and self.place(seconds, low)[0] > taken:
                x = self.place(seconds, low)[0]
                self.parts.append(f'<path class="grid" d="M{x:.1f} {floor:.1f}v5"/>')
                self.parts.append(f'<text x="{x:.1f}" y="{floor + 19:.1f}" text-anchor="middle">{text}</text>')
                taken = x + LETTER * (len(text) + 1)
        self.parts.append('<text x="0" y="12">PSNR in dB</text>')
        self.parts.append(f'<text x="{end:.1f}" y="{self.height - 7:.1f}" text-anchor="end">time, logarithmic</text>')


def time_to_quality(metrics: dict[str, Any], classic: str, width: float, height: float) -> str:
    """An <svg> of `width` by `height` CSS pixels, coloured by the page's style. Empty when there is nothing to draw.

    The classic line is one view with 1, 2, 4 … samples, and the twin's dot is its frame of that same view (without such
    a line: the mean of the held-out views). The twin's line is its training, measured on other views; it begins where
    the dataset was rendered, at 0 when that is unknown.

    Args:
        metrics: with noise_ladder, training, costs, views and mean, as metrics.json has them.
        classic: what the classic side is called.
    """
    ladder, training, costs = metrics["noise_ladder"], metrics["training"], metrics["costs"]
    rungs = [rung for rung in ladder["rungs"] if rung["psnr"] is not None] if ladder else []
    steps = [(rung["seconds"], rung["psnr"]) for rung in rungs]
    start = costs["dataset_seconds"] or 0.0
    history = [(start + seconds, psnr) for seconds, psnr in training["history"] if start + seconds > 0.0]
    if training["psnr"] is not None and training["seconds"]:
        history.append((start + training["seconds"], training["psnr"]))
    same_view = [view["psnr"] for view in metrics["views"] if ladder and view["index"] == ladder["index"]]
    likeness = same_view[0] if same_view else metrics["mean"]["psnr"]
    frame = None if likeness is None else (costs["neural_seconds"], likeness)
    if len(steps) + len(history) < 2:
        return ""
    if steps:
        history = above(history, min(psnr for _, psnr in steps) - BELOW_CYCLES)
    drawing = Drawing(width, height, *_limits([*steps, *history, *([frame] if frame else [])], width))
    drawing.grid()
    if history and start > 0.0:
        _dataset_rendered(drawing, start)
    if history:
        drawing.line("twin", history)
    if steps:
        drawing.line("classic", steps)
        for step in steps:
            drawing.dot("classic", step, 3.2)
    if frame:
        drawing.dot("twin", frame, 5.0)
        drawing.words("twin name", frame, _name("Twin", "one frame", width))
    if history:
        drawing.words("twin name", history[-1], _name("Twin", "training", width))
    if steps:
        drawing.words("classic name", steps[-1], _name(classic, "one frame", width))
    for rung, step in zip(rungs, steps, strict=True):
        first_or_last = rung in (rungs[0], rungs[-1])
        text = f"{rung['samples']} sample{'s' * (rung['samples'] > 1)}" if first_or_last else f"{rung['samples']}"
        drawing.words("classic", step, [text], always=False)
    says = f"PSNR over time: one frame of {classic} with more and more samples, and the twin while it was trained"
    return (
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{says}">{"".join(drawing.parts)}</svg>'
    )


def _name(side: str, what: str, width: float) -> list[str]:
    """What a curve is called, over two lines where there is little room."""
    return [f"{side}, {what}"] if width >= WIDE else [f"{side},", what]


def above(moments: Sequence[Point], least: float) -> list[Point]:
    """The moments from where they first reach `least`; that moment itself lies between two of them."""
    for number, (seconds, psnr) in enumerate(moments):
        if psnr < least:
            continue
        if number == 0:
            return list(moments)
        earlier, lower = moments[number - 1]
        share = (least - lower) / (psnr - lower)
        return [(earlier + share * (seconds - earlier), least), *moments[number:]]
    return list(moments)


def _limits(points: Sequence[Point], width: float) -> tuple[Point, Point]:
    """Limits around all points, with room for the words beside them."""
    before = 2.0 if width >= WIDE else 4.0
    seconds, decibels = ([point[i] for point in points] for i in (0, 1))
    low, high = 5.0 * math.floor((min(decibels) - 1.0) / 5.0), 5.0 * math.ceil((max(decibels) + 2.0) / 5.0)
    return (min(seconds) / before, max(seconds) * 2.0), (low, high)


def _dataset_rendered(drawing: Drawing, seconds: float) -> None:
    x, floor = drawing.place(seconds, drawing.decibels[0])
    drawing.parts.append(f'<path class="twin mark" d="M{x:.1f} {drawing.top:.1f}V{floor:.1f}"/>')
    text = "dataset rendered"
    drawing.parts.append(f'<text class="twin" x="{x - 6:.1f}" y="{floor - 8:.1f}" text-anchor="end">{text}</text>')
    drawing.taken.append((x - 6 - LETTER * len(text), floor - 8 - LINE, x, floor))
