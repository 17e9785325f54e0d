# SPDX-License-Identifier: GPL-3.0-or-later
"""Further passes and labels as pictures that people can read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..cameras import corners_of_bounds
from ..colour import linear_to_srgb
from ..dataset.labels import HIDDEN, SEEN, ObjectLabels
from ..dataset.store import Dataset
from ..passes import FLOWS, FURTHER
from .pictures import LARGEST, colour_of, enlargement

INDICES = ("material_index", "class_index")
# pixels: of what stands still, rounding alone would be drawn
LEAST_FLOW = 0.05
# the corners of a box whose numbers differ in one binary digit have an edge between them
EDGES = [(a, b) for a, b in itertools.combinations(range(8), 2) if a ^ b in (1, 2, 4)]


def further_pictures(dataset: Dataset) -> dict[str, Callable[[int], Image.Image]]:
    """What a column of the sheet is called, to what draws a view of it, of the further passes that there are."""
    pictures: dict[str, Callable[[int], Image.Image]] = {}
    for name in FURTHER:
        if name not in dataset.passes or name == "coverage_index":
            continue
        title = name.replace("_", " ").capitalize()
        if name in FLOWS:
            reach = _reach(dataset, name)
            pictures[f"{title}, up to {reach:.3g} px"] = partial(_flow, dataset, name, reach)
        else:
            draw = {"position": _position, "coverage": _coverage}.get(name, _index if name in INDICES else _light)
            pictures[title] = partial(draw, dataset, name)
    return pictures


def labels_picture(dataset: Dataset, labels: ObjectLabels, index: int, light: Image.Image) -> Image.Image:
    """Over the light: of the largest objects 3D boxes, and what is hidden of them, shaded (in datasets that do not know
    it, the box around all of it); keypoints (a ring: hidden)."""
    shaded = 0.45 * np.asarray(light.convert("RGB"), np.float32)
    largest = np.argsort(-labels.amodal_pixels[index], kind="stable")[:LARGEST].tolist()
    visible = dataset.object_index(index)
    for place in largest:
        whole = dataset.amodal_mask(index, place)
        if whole is not None:
            number = int(dataset.objects[place]["index"])
            hidden = whole & (visible != number)
            shaded[hidden] = 0.5 * shaded[hidden] + 0.4 * np.array(colour_of(number), np.float32)
    times = enlargement(*visible.shape)
    image = Image.fromarray(shaded.round().astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1))
    draw, camera = ImageDraw.Draw(image), dataset.camera(index)
    for place in largest:
        entry = dataset.objects[place]
        pose, box = labels.object_to_world[index, place], entry.get("local_bounds")
        if box is not None and np.isfinite(pose).all() and labels.amodal_pixels[index, place]:
            pixels, depth = camera.project(corners_of_bounds(box) @ pose[:3, :3].T + pose[:3, 3])
            drawn = (depth > 0) & np.isfinite(pixels).all(axis=1)
            for a, b in EDGES:
                if drawn[a] and drawn[b]:
                    draw.line([tuple(times * pixels[a]), tuple(times * pixels[b])], fill=colour_of(int(entry["index"])))
        around, seen = labels.amodal_box[index, place], labels.visible_box[index, place]
        if labels.amodal_masks is None and np.isfinite(around).all() and not np.array_equal(around, seen):
            left, top, right, bottom = (times * float(value) for value in around)
            draw.rectangle((left, top, right - 1, bottom - 1), outline=(150, 150, 150))
    pixels, _ = camera.project(labels.keypoints[index])
    for (x, y), state in zip((times * pixels).tolist(), labels.keypoint_state[index].tolist(), strict=True):
        if state in (HIDDEN, SEEN):
            fill = (255, 255, 255) if state == SEEN else None
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), outline=(255, 255, 255), fill=fill)
    return image


def index_picture(numbers: NDArray[np.uint16]) -> Image.Image:
    """A colour for each number; 0 is black."""
    picture = np.zeros((*numbers.shape, 3), np.uint8)
    for number in np.unique(numbers[numbers > 0]).tolist():
        picture[numbers == number] = colour_of(number)
    return Image.fromarray(picture)


def flow_picture(flow: NDArray[np.float32], reach: float) -> Image.Image:
    """The direction as a hue (right is red), the length as strength up to `reach` pixels; rest is black."""
    angle = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360.0
    strength = np.clip(np.linalg.norm(flow, axis=-1) / max(reach, 1e-9), 0.0, 1.0) * 255
    hsv = np.stack([angle / 2.0, np.full_like(angle, 220.0), strength], axis=-1).astype(np.uint8)
    return Image.fromarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def _flow(dataset: Dataset, name: str, reach: float, index: int) -> Image.Image:
    return flow_picture(dataset.pixels(name, index), reach)


def _index(dataset: Dataset, name: str, index: int) -> Image.Image:
    return index_picture(dataset.pixels(name, index))


def _light(dataset: Dataset, name: str, index: int) -> Image.Image:
    shown = linear_to_srgb(np.clip(dataset.pixels(name, index).astype(np.float64), 0.0, 1.0))
    return Image.fromarray((shown * 255).round().astype(np.uint8))


def _position(dataset: Dataset, name: str, index: int) -> Image.Image:
    """x, y, z from one side of the scene's bounds to the other as red, green, blue."""
    points = dataset.pixels(name, index)
    lower, upper = dataset.bounds
    share = np.clip((points - lower) / np.maximum(upper - lower, 1e-9), 0.0, 1.0) * 255
    return Image.fromarray(np.where(points.any(axis=-1, keepdims=True), share, 0).astype(np.uint8))


def _coverage(dataset: Dataset, name: str, index: int) -> Image.Image:
    """The objects' colours, mixed by their shares."""
    numbers, shares = dataset.pixels(f"{name}_index", index), dataset.pixels(name, index)
    colours = np.zeros((*numbers.shape, 3), np.float32)
    for number in np.unique(numbers[numbers > 0]).tolist():
        colours[numbers == number] = colour_of(number)
    mixed = (colours * shares[..., None].astype(np.float32)).sum(axis=2)
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def _reach(dataset: Dataset, name: str) -> float:
    """The 99th percentile of the lengths of some views' flow, at least LEAST_FLOW: pixels."""
    some = range(0, dataset.count, max(1, dataset.count // 8))
    lengths = np.concatenate([np.linalg.norm(dataset.pixels(name, index), axis=-1).ravel() for index in some])
    return max(float(np.percentile(lengths, 99)), LEAST_FLOW)
