# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a colour transform in float64, before they become the stages of core/colour.py: inverted and simplified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .colour import MOST_SAMPLES, linear_part

Matrix = NDArray[np.float64]
# a stage's kind and values; besides those of core/colour.py there is "inverse_curve", which `simplified` removes
Step = tuple[str, NDArray[Any]]

NOTHING = np.zeros(0)
CANCELLING = (("encode", "decode"), ("decode", "encode"), ("exp2", "log2"))


def matrix_step(matrix: Matrix, offset: ArrayLike = 0.0) -> Step:
    """A step of a matrix [3, 3] and what is added then."""
    values = np.zeros((3, 4))
    values[:, :3], values[:, 3] = matrix, offset
    return "matrix", values


def inverse(steps: Sequence[Step]) -> list[Step]:
    """The steps back; raises ValueError for a table. What was clamped stays clamped."""
    return [_inverse_of_one(*step) for step in reversed(steps)]


def _inverse_of_one(kind: str, values: Matrix) -> Step:
    if kind == "matrix":
        back = np.linalg.inv(values[:, :3])
        return matrix_step(back, -back @ values[:, 3])
    if kind == "power":
        return kind, 1.0 / values
    if kind == "clamp":
        return kind, np.array([-1e30, 1e30])
    swapped = {"log2": "exp2", "encode": "decode", "curve": "inverse_curve"}
    swapped |= {after: before for before, after in swapped.items()}
    if kind not in swapped:
        raise ValueError(f"a {kind} has no inverse")
    return swapped[kind], values


def simplified(steps: Sequence[Step]) -> list[Step]:
    """The same in fewer steps: neighbours that are one or cancel each other, and curves that follow each other."""
    shorter: list[Step] = []
    for kind, values in steps:
        before = shorter[-1] if shorter else ("", NOTHING)
        if kind == "matrix" == before[0]:
            product = values[:, :3] @ before[1]
            product[:, 3] += values[:, 3]
            shorter[-1:] = [] if _is_identity(product) else [(kind, product)]
        elif kind == "power" == before[0]:
            shorter[-1] = (kind, values * before[1])
        elif (before[0], kind) in CANCELLING and np.array_equal(values, before[1]):
            del shorter[-1]
        elif not (kind == "matrix" and _is_identity(values)):
            shorter.append((kind, values))
    fused: list[Step] = []
    for kind, values in shorter:
        if kind != "inverse_curve":
            fused.append((kind, values))
            continue
        # one curve of what lies between the curve before it and here
        start = max((i for i, step in enumerate(fused) if step[0] == "curve"), default=len(fused))
        between = [*fused[start + 1 :], (kind, values)]
        if start == len(fused) or not all(_is_per_channel(*step) for step in between):
            raise ValueError("the inverse of a curve without one before it")
        product = fused[start][1]
        for step in between:
            product = _per_channel(*step, product)
        fused[start:] = [("curve", product)]
    if any(kind == "curve" and len(values) > MOST_SAMPLES for kind, values in fused):
        raise ValueError("a curve of too many samples")
    return fused


def _is_identity(matrix: Matrix) -> bool:
    # to another gamut and back leaves the rounding of the configuration's numbers
    return bool(np.abs(matrix - np.eye(3, 4)).max() < 1e-6)


def _is_per_channel(kind: str, values: Matrix) -> bool:
    if kind == "matrix":
        return np.array_equal(values[:, :3], np.diag(np.diag(values[:, :3])))
    return kind != "table"


def _per_channel(kind: str, values: Matrix, x: Matrix) -> Matrix:
    """What a step makes of [n, 3] in float64."""
    if kind == "matrix":
        return x @ values[:, :3].T + values[:, 3]
    if kind == "log2":
        return np.log2(np.maximum(x, np.finfo(np.float32).tiny))
    if kind == "exp2":
        return np.exp2(x)
    if kind == "power":
        return np.maximum(x, 0.0) ** values[0]
    if kind == "clamp":
        return np.clip(x, *values)
    if kind in ("curve", "inverse_curve"):
        even = np.linspace(0.0, 1.0, len(values))
        pairs = [(even, c) if kind == "curve" else (np.maximum.accumulate(c), even) for c in values.T]
        return np.stack([np.interp(x[:, i], *pair) for i, pair in enumerate(pairs)], axis=1)
    gamma, offset = values
    limit, slope = linear_part(gamma, offset)
    if kind == "decode":
        return np.where(x <= limit, x * slope, ((np.maximum(x, limit) + offset) / (1.0 + offset)) ** gamma)
    curved = np.maximum(x, limit * slope) ** (1.0 / gamma) * (1.0 + offset) - offset
    return np.where(x <= limit * slope, x / slope, curved)
