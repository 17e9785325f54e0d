# SPDX-License-Identifier: GPL-3.0-or-later
"""From Cycles' conventions to the dataset's: the passes of one view. Numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..passes import COVERAGE_DEPTH, FLOWS, FURTHER
from .contents import ViewPixels
from .staging import Plan

Layers = dict[str, NDArray[np.float32]]

# Cycles writes 1e10 where a ray hits nothing; a scene may well be some kilometres deep
DEPTH_OF_A_MISS = 1e9


def view_pixels(plan: Plan, beauty: Layers, truth: Layers, hashes: dict[str, int]) -> ViewPixels:
    """The dataset's passes of a view, as far as its plan asks for them.

    Args:
        beauty, truth: passes [H, W, channels] of the two renders, by their names in the EXRs.
        hashes: the number by which Cryptomatte knows each object, by the object's name.

    Raises:
        KeyError: a render lacks one of them.
    """
    passes = plan.passes
    depth = truth[passes["depth"]][..., 0]
    hit = (depth > 0) & (depth < DEPTH_OF_A_MISS)
    normal = truth[passes["normal"]]
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.divide(normal, length, out=np.zeros_like(normal), where=hit[..., None] & (length > 1e-3))
    index = _whole(truth[passes["object_index"]], hit)
    return ViewPixels(
        rgba=beauty[passes["rgba"]],
        depth=np.where(hit, depth, 0.0).astype(np.float32),
        normal=normal,
        object_index=index,
        further=_further(plan, beauty, truth, hashes, hit, index),
    )


def _further(
    plan: Plan,
    beauty: Layers,
    truth: Layers,
    hashes: dict[str, int],
    hit: NDArray[np.bool_],
    object_index: NDArray[np.uint16],
) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for name in FURTHER:
        if name not in plan.passes or name in found:
            continue
        layer = plan.passes[name]
        if name == "class_index":
            found[name] = _classes_of_objects(plan)[object_index]
        elif name == "coverage_index":
            found[name], found["coverage"] = _coverage(plan, beauty, hashes)
        elif name == "material_index":
            found[name] = _whole(truth[layer], hit)
        elif name == "position":
            found[name] = np.where(hit[..., None], truth[layer], np.float32(0.0))
        elif name in FLOWS:
            found[name] = np.where(hit[..., None], _flow(truth[layer], name == "flow_forward"), np.float32(0.0))
        else:
            found[name] = beauty[layer]
    return found


def _whole(layer: NDArray[np.float32], hit: NDArray[np.bool_]) -> NDArray[np.uint16]:
    return np.clip(np.where(hit, np.rint(layer[..., 0]), 0), 0, 65535).astype(np.uint16)


def _classes_of_objects(plan: Plan) -> NDArray[np.uint16]:
    """The class index of each object index."""
    classes = {entry["name"]: entry["index"] for entry in plan.classes}
    table = np.zeros(65536, np.uint16)
    for entry in plan.objects:
        table[entry["index"]] = classes[entry["class"]]
    table[0] = 0
    return table


def _flow(vector: NDArray[np.float32], forward: bool) -> NDArray[np.float32]:
    """Pixels to the right and down, from Cycles' vector pass, which points up: towards the previous picture (x y), and
    from the next one (z w)."""
    towards, sign = (vector[..., 2:4], (-1, 1)) if forward else (vector[..., 0:2], (1, -1))
    return towards * np.array(sign, np.float32)


def _coverage(plan: Plan, beauty: Layers, hashes: dict[str, int]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Object indices and shares, the largest first, from Cryptomatte's ranks: hash and share of two objects each."""
    layers = [beauty[f"{plan.passes['coverage']}{number:02d}"] for number in range(COVERAGE_DEPTH // 2)]
    ranks = np.concatenate(layers, axis=-1)
    bits, share = np.ascontiguousarray(ranks[..., 0::2]).view(np.uint32), ranks[..., 1::2]
    index = np.zeros(bits.shape, np.uint16)
    for entry in plan.objects:
        if entry["name"] in hashes:
            index[bits == hashes[entry["name"]]] = entry["index"]
    # what is in no object's name, as a lamp that the camera sees, is nobody's share
    return index, np.where(index > 0, share, 0.0).astype(np.float32)
