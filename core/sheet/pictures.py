# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes as pictures that people can read: light, depth, normals, objects with their boxes and names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..dataset.store import Dataset
from ..dataset.writers.labels import visible_objects
from ..dataset.writers.pictures import straight_image
from ..lettering import INK, PAPER, QUIET, font

Picture = NDArray[np.uint8]

# squares behind what is transparent
SQUARES, LIGHT, DARK = 8, 92, 74
TILE, SHEET = 200, 1800
GAP, MARGIN, HEADING, CAPTION = 6, 24, 26, 18
# of so many objects, the largest ones, names and boxes are drawn: of more nobody can read them
LARGEST = 6
GOLDEN_RATIO = 0.618033988749895


def contact_sheet(
    dataset: Dataset, views: Sequence[tuple[str, int]], pictures: dict[str, Callable[[int], Image.Image]]
) -> Image.Image:
    """A row a view (split, index), a column each of `pictures`, in as many blocks as fit beside each other.

    Small views are enlarged by whole numbers; a picture may be so much larger than its view already.
    """
    largest = dataset.size[[index for _, index in views]].max(axis=0)
    scale = TILE / int(largest.max()) if largest.max() > TILE else enlargement(*largest)
    width, height = (max(1, round(int(side) * scale)) for side in largest)
    block = len(pictures) * (width + GAP) + MARGIN
    blocks = min(max(1, SHEET // block), len(views))
    rows = -(-len(views) // blocks)
    sheet = Image.new("RGB", (GAP + blocks * block - MARGIN, HEADING + rows * (height + CAPTION + GAP)), PAPER)
    draw, heading, caption = ImageDraw.Draw(sheet), font(14), font(11)
    for column, (name, picture_of) in enumerate(pictures.items()):
        for number, (split, index) in enumerate(views):
            x = GAP + number // rows * block + column * (width + GAP)
            y = HEADING + number % rows * (height + CAPTION + GAP)
            if number % rows == 0:
                draw.text((x, 5), name, font=heading, fill=INK)
            picture = picture_of(index)
            wide, high = (max(1, round(int(side) * scale)) for side in dataset.size[index])
            way = Image.Resampling.NEAREST if wide >= picture.width else Image.Resampling.BOX
            sheet.paste(picture.resize((wide, high), way), (x, y))
            if column == 0:
                draw.text((x, y + height + 2), f"{split} {index}", font=caption, fill=QUIET)
    return sheet


def enlargement(width: int, height: int) -> int:
    """By which whole number a view of this size is enlarged, so that what is drawn into it can be read."""
    return max(1, TILE // max(int(width), int(height)))


def depth_picture(depth: NDArray[np.float32], least: float, most: float) -> Image.Image:
    """Near is bright, far is dark (viridis), nothing is black."""
    share = np.clip((most - depth) / max(most - least, 1e-12), 0.0, 1.0)
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return Image.fromarray(np.where(depth[..., None] > 0.0, colours, 0).astype(np.uint8))


def normal_picture(normal: NDArray[np.float32]) -> Image.Image:
    """World x, y, z from -1 … 1 as red, green, blue; nothing is black."""
    there = normal.any(axis=-1, keepdims=True)
    return Image.fromarray(np.where(there, (normal * 0.5 + 0.5) * 255, 0.0).round().astype(np.uint8))


def objects_picture(dataset: Dataset, index: int, categories: list[str]) -> Image.Image:
    """Each object in a colour of its own; the largest ones with their boxes, and names where these do not overlap."""
    things = visible_objects(dataset, index, categories)
    labels = dataset.object_index(index)
    picture = np.zeros((*labels.shape, 3), np.uint8)
    for thing in things:
        picture[thing.mask] = np.array(colour_of(thing.index)) * 0.72
    names = {int(entry["index"]): str(entry["name"]) for entry in dataset.objects}
    times = enlargement(*labels.shape)
    image = Image.fromarray(picture.repeat(times, axis=0).repeat(times, axis=1))
    draw, letters = ImageDraw.Draw(image), font(max(9, image.width // 22))
    largest = sorted(things, key=lambda thing: -thing.mask.sum())[:LARGEST]
    for thing in largest:
        left, top, wide, high = (times * int(side) for side in thing.box)
        draw.rectangle((left, top, left + wide - 1, top + high - 1), outline=colour_of(thing.index))
    taken: list[tuple[float, float, float, float]] = []
    for thing in largest:
        rows, columns = np.nonzero(thing.mask)
        middle = (times * (float(np.median(columns)) + 0.5), times * (float(np.median(rows)) + 0.5))
        room = draw.textbbox(middle, names[thing.index], letters, "mm", stroke_width=1)
        if any(room[0] < x1 and x0 < room[2] and room[1] < y1 and y0 < room[3] for x0, y0, x1, y1 in taken):
            continue
        taken.append(room)
        draw.text(middle, names[thing.index], INK, letters, "mm", stroke_width=1, stroke_fill=PAPER)
    return image


def colour_of(index: int) -> tuple[int, int, int]:
    """A colour for an object; neighbouring numbers are far apart in hue (steps of the golden ratio)."""
    hue = int((index * GOLDEN_RATIO % 1.0) * 180)
    pixel = np.array([[[hue, 150 + 40 * (index % 3), 255 - 45 * (index // 3 % 2)]]], np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)


def light_picture(dataset: Dataset, index: int) -> Image.Image:
    """Through the scene's view transform, on grey squares where it is transparent."""
    image = straight_image(dataset.rgba(index), dataset.view_transform).astype(np.float32)
    rows, columns = np.indices(image.shape[:2]) // SQUARES
    squares = np.where((rows + columns) % 2, LIGHT, DARK)[..., None]
    alpha = image[..., 3:] / 255.0
    return Image.fromarray((image[..., :3] * alpha + squares * (1.0 - alpha)).round().astype(np.uint8))


def depth_range(dataset: Dataset) -> tuple[float, float]:
    """Of some views: the 1st and 99th percentile."""
    some = range(0, dataset.count, max(1, dataset.count // 8))
    seen = np.concatenate([depth[depth > 0.0] for depth in map(dataset.depth, some)])
    if not seen.size:
        return 0.0, 1.0
    least, most = np.percentile(seen, (1, 99))
    return float(least), float(most)
