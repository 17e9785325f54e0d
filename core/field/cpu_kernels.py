# SPDX-License-Identifier: GPL-3.0-or-later
"""The loops of the fast CPU execution, compiled by numba. Each runs on one thread without Python's lock.

They compute what `hash_grid.py`, `directions.py` and `march.py` define, in single precision. Parallelism is one level
up (`cpu.py`): forward over blocks of rays, the table's gradient over levels, so that nothing is added atomically and
the same input gives the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from ..files import cache_folder

if "NUMBA_CACHE_DIR" not in os.environ:
    # never beside the sources: an extension's folder may be read-only
    os.environ["NUMBA_CACHE_DIR"] = str(cache_folder("numba"))

import numba  # the cache folder must be named before

numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
# the four features of a table row then move as one vector: encoding is 2.3 times as fast
numba.config.SLP_VECTORIZE = 1

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`numba.njit` with the settings of this file, typed as the function itself."""
    decorate = numba.njit(nogil=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
    return cast(Function, decorate(function))


PRIME_Y = np.uint32(2654435761)
PRIME_Z = np.uint32(805459861)
ONE = np.float32(1.0)
ZERO = np.float32(0.0)


@compiled
def encode(positions: Any, table: Any, resolutions: Any, offsets: Any, dense: Any, table_size: int, out: Any) -> None:
    """Hash encoding, as `hash_grid.encode`; four features per level."""
    mask = np.uint32(table_size - 1)
    for level in range(resolutions.shape[0]):
        cells = np.uint32(resolutions[level])
        resolution = np.float32(cells)
        rows = table[offsets[level] : offsets[level + 1]]
        whole = dense[level]
        y_factor = cells + np.uint32(1) if whole else PRIME_Y
        z_factor = (cells + np.uint32(1)) * (cells + np.uint32(1)) if whole else PRIME_Z
        first = 4 * level
        for i in range(positions.shape[0]):
            fx = min(max(positions[i, 0], ZERO), ONE) * resolution
            fy = min(max(positions[i, 1], ZERO), ONE) * resolution
            fz = min(max(positions[i, 2], ZERO), ONE) * resolution
            x = min(np.uint32(fx), cells - np.uint32(1))
            y = min(np.uint32(fy), cells - np.uint32(1))
            z = min(np.uint32(fz), cells - np.uint32(1))
            fx -= np.float32(x)
            fy -= np.float32(y)
            fz -= np.float32(z)
            y0 = y * y_factor
            y1 = y0 + y_factor
            z0 = z * z_factor
            z1 = z0 + z_factor
            a0, a1, a2, a3 = ZERO, ZERO, ZERO, ZERO
            for corner in range(8):
                cx = x + np.uint32(corner & 1)
                cy = y1 if corner & 2 else y0
                cz = z1 if corner & 4 else z0
                row = cx + cy + cz if whole else (cx ^ cy ^ cz) & mask
                w = (fx if corner & 1 else ONE - fx) * (fy if corner & 2 else ONE - fy)
                w *= fz if corner & 4 else ONE - fz
                a0 += w * rows[row, 0]
                a1 += w * rows[row, 1]
                a2 += w * rows[row, 2]
                a3 += w * rows[row, 3]
            out[i, first] = a0
            out[i, first + 1] = a1
            out[i, first + 2] = a2
            out[i, first + 3] = a3


@compiled
def encode_backward(
    positions: Any, upstream: Any, level: int, cells_: int, whole: bool, table_size: int, gradient: Any
) -> None:
    """Add the loss's gradient for the rows of one level to `gradient` [rows of the level, 4]."""
    mask = np.uint32(table_size - 1)
    cells = np.uint32(cells_)
    resolution = np.float32(cells)
    y_factor = cells + np.uint32(1) if whole else PRIME_Y
    z_factor = (cells + np.uint32(1)) * (cells + np.uint32(1)) if whole else PRIME_Z
    first = 4 * level
    for i in range(positions.shape[0]):
        u0, u1, u2, u3 = upstream[i, first], upstream[i, first + 1], upstream[i, first + 2], upstream[i, first + 3]
        fx = min(max(positions[i, 0], ZERO), ONE) * resolution
        fy = min(max(positions[i, 1], ZERO), ONE) * resolution
        fz = min(max(positions[i, 2], ZERO), ONE) * resolution
        x = min(np.uint32(fx), cells - np.uint32(1))
        y = min(np.uint32(fy), cells - np.uint32(1))
        z = min(np.uint32(fz), cells - np.uint32(1))
        fx -= np.float32(x)
        fy -= np.float32(y)
        fz -= np.float32(z)
        y0 = y * y_factor
        y1 = y0 + y_factor
        z0 = z * z_factor
        z1 = z0 + z_factor
        for corner in range(8):
            cx = x + np.uint32(corner & 1)
            cy = y1 if corner & 2 else y0
            cz = z1 if corner & 4 else z0
            row = cx + cy + cz if whole else (cx ^ cy ^ cz) & mask
            w = (fx if corner & 1 else ONE - fx) * (fy if corner & 2 else ONE - fy)
            w *= fz if corner & 4 else ONE - fz
            gradient[row, 0] += w * u0
            gradient[row, 1] += w * u1
            gradient[row, 2] += w * u2
            gradient[row, 3] += w * u3


@compiled
def spherical_harmonics(directions: Any, out: Any) -> None:
    """As `directions.spherical_harmonics`: [R, 3] to [R, 16]."""
    for i in range(directions.shape[0]):
        x, y, z = directions[i, 0], directions[i, 1], directions[i, 2]
        xx, yy, zz = x * x, y * y, z * z
        out[i, 0] = np.float32(0.28209479177387814)
        out[i, 1] = np.float32(-0.4886025119029199) * y
        out[i, 2] = np.float32(0.4886025119029199) * z
        out[i, 3] = np.float32(-0.4886025119029199) * x
        out[i, 4] = np.float32(1.0925484305920792) * x * y
        out[i, 5] = np.float32(-1.0925484305920792) * y * z
        out[i, 6] = np.float32(0.31539156525252005) * (np.float32(3.0) * zz - ONE)
        out[i, 7] = np.float32(-1.0925484305920792) * x * z
        out[i, 8] = np.float32(0.5462742152960396) * (xx - yy)
        out[i, 9] = np.float32(-0.5900435899266435) * y * (np.float32(3.0) * xx - yy)
        out[i, 10] = np.float32(2.890611442640554) * x * y * z
        out[i, 11] = np.float32(-0.4570457994644658) * y * (np.float32(5.0) * zz - ONE)
        out[i, 12] = np.float32(0.3731763325901154) * z * (np.float32(5.0) * zz - np.float32(3.0))
        out[i, 13] = np.float32(-0.4570457994644658) * x * (np.float32(5.0) * zz - ONE)
        out[i, 14] = np.float32(1.445305721320277) * z * (xx - yy)
        out[i, 15] = np.float32(-0.5900435899266435) * x * (xx - np.float32(3.0) * yy)


@compiled
def weigh(
    geometry: Any,
    ray: Any,
    first: int,
    harmonics: Any,
    step: Any,
    shift: Any,
    bound: Any,
    threshold: Any,
    transmittance: Any,
    cursor: Any,
    thickness: Any,
    weights: Any,
    shaded: Any,
    number: int,
    colour_inputs: Any,
) -> int:
    """Each new sample's (from `first` on) optical thickness and share of its pixel; the inputs of the colour network
    for those above `threshold`, whose indices are added to `shaded` after the `number` that it holds.

    `transmittance` [R] is what each ray has left; a ray that has less than `threshold` ends (`cursor` becomes -1).
    Returns the new number of shaded samples.
    """
    width = geometry.shape[1]
    for i in range(first, geometry.shape[0]):
        r = ray[i]
        tau = np.exp(min(geometry[i, 0] + shift, bound)) * step
        before = transmittance[r]
        after = before * np.exp(-tau)
        w = before - after
        thickness[i] = tau
        weights[i] = w
        if w > threshold:
            shaded[number] = i
            for k in range(width):
                colour_inputs[number, k] = geometry[i, k]
            for k in range(harmonics.shape[1]):
                colour_inputs[number, width + k] = harmonics[r, k]
            number += 1
        transmittance[r] = after
        if after < threshold:
            cursor[r] = -1
    return number


@compiled
def composite(raw: Any, bound: Any, weights: Any, times: Any, ray: Any, shaded: Any, out: Any) -> None:
    """Premultiplied colour, alpha and expected distance times alpha: `out` [R, 5]. `raw` [A, ≥3] is turned into
    radiance in place."""
    out[:] = ZERO
    for i in range(weights.shape[0]):
        r = ray[i]
        out[r, 3] += weights[i]
        out[r, 4] += weights[i] * times[i]
    for a in range(shaded.shape[0]):
        raw[a, 0] = np.exp(min(raw[a, 0], bound))
        raw[a, 1] = np.exp(min(raw[a, 1], bound))
        raw[a, 2] = np.exp(min(raw[a, 2], bound))
        r, w = ray[shaded[a]], weights[shaded[a]]
        out[r, 0] += w * raw[a, 0]
        out[r, 1] += w * raw[a, 1]
        out[r, 2] += w * raw[a, 2]


@compiled
def composite_backward(
    radiance: Any,
    bound_radiance: Any,
    weights: Any,
    thickness: Any,
    step: Any,
    bound: Any,
    ray: Any,
    shaded: Any,
    upstream: Any,
    behind: Any,
    transmittance: Any,
    rest: Any,
    raw_gradient: Any,
    density_gradient: Any,
) -> None:
    """From the gradient for colour and alpha (`upstream` [R, 4], colour with `behind` [R, 3] composited) to those for
    the colour network's outputs (`raw_gradient` [A, ≥3]) and the logarithm of the density (`density_gradient` [S]).

    `transmittance` [R] is what each ray had left at its end, 1 again afterwards; `rest` [R] is scratch.
    """
    most = np.exp(bound_radiance) * np.float32(0.999)
    thickest = np.exp(bound) * step * np.float32(0.999)
    for r in range(upstream.shape[0]):
        # what the ray still gathers behind the sample, weighed by the upstream gradient; from back to front
        seen = upstream[r, 0] * behind[r, 0] + upstream[r, 1] * behind[r, 1] + upstream[r, 2] * behind[r, 2]
        rest[r] = transmittance[r] * (seen - upstream[r, 3])
    a = shaded.shape[0] - 1
    for i in range(weights.shape[0] - 1, -1, -1):
        r = ray[i]
        w = weights[i]
        value = ZERO
        if a >= 0 and shaded[a] == i:
            gr, gg, gb = upstream[r, 0], upstream[r, 1], upstream[r, 2]
            cr, cg, cb = radiance[a, 0], radiance[a, 1], radiance[a, 2]
            value = gr * cr + gg * cg + gb * cb
            raw_gradient[a, 0] = w * gr * cr if cr < most else ZERO
            raw_gradient[a, 1] = w * gg * cg if cg < most else ZERO
            raw_gradient[a, 2] = w * gb * cb if cb < most else ZERO
            a -= 1
        # T after the sample: of everything up to here what it let through
        tau = thickness[i]
        gradient = transmittance[r] * value - rest[r]
        density_gradient[i] = gradient * tau if tau < thickest else ZERO
        rest[r] += w * value
        transmittance[r] += w


@compiled
def relative_loss(
    seen: Any, behind: Any, targets: Any, together: int, epsilon: Any, alpha_weight: Any, scale: Any, upstream: Any
) -> Any:
    """Relative L2 with a constant weight (see `training/losses.py`): fills `upstream` [R, 4], returns the loss.

    Each `together` rays that follow one another are one pixel, whose colour is their mean.
    """
    total = 0.0
    third = np.float32(1.0 / 3.0)
    share = ONE / np.float32(together)
    for first in range(0, seen.shape[0], together):
        red, green, blue, alpha = ZERO, ZERO, ZERO, ZERO
        for r in range(first, first + together):
            through = ONE - seen[r, 3]
            red += share * (seen[r, 0] + through * behind[r, 0])
            green += share * (seen[r, 1] + through * behind[r, 1])
            blue += share * (seen[r, 2] + through * behind[r, 2])
            alpha += share * seen[r, 3]
        inverse_red, inverse_green, inverse_blue = (
            ONE / (red + epsilon),
            ONE / (green + epsilon),
            ONE / (blue + epsilon),
        )
        red = (red - targets[first, 0]) * inverse_red
        green = (green - targets[first, 1]) * inverse_green
        blue = (blue - targets[first, 2]) * inverse_blue
        alpha = alpha - targets[first, 3] if targets[first, 3] >= ZERO else ZERO
        total += third * (red * red + green * green + blue * blue) + alpha_weight * alpha * alpha
        factor = np.float32(2.0) * scale * share
        for r in range(first, first + together):
            upstream[r, 0] = factor * third * red * inverse_red
            upstream[r, 1] = factor * third * green * inverse_green
            upstream[r, 2] = factor * third * blue * inverse_blue
            upstream[r, 3] = factor * alpha_weight * alpha
    return total * scale


@compiled
def merge_geometry_gradient(colour_gradient: Any, density_gradient: Any, shaded: Any, count: int, out: Any) -> None:
    """Gradient for the density network's outputs [S, G] from what the colour network and the compositing sent back."""
    a = 0
    for i in range(out.shape[0]):
        if a < count and shaded[a] == i:
            for k in range(out.shape[1]):
                out[i, k] = colour_gradient[a, k]
            a += 1
        else:
            for k in range(out.shape[1]):
                out[i, k] = ZERO
        out[i, 0] += density_gradient[i]


@compiled
def relu_backward(hidden: Any, gradient: Any) -> None:
    """Zero the gradient where the unit was silent."""
    for i in range(hidden.shape[0]):
        for k in range(hidden.shape[1]):
            gradient[i, k] = gradient[i, k] if hidden[i, k] > ZERO else ZERO


def adam_settings(rate: float, betas: tuple[float, float], steps: int, epsilon: float) -> Any:
    """[6] f4 for the step that is number `steps` (from 1): rate, betas, bias corrections, epsilon."""
    corrections = [1.0 / (1.0 - beta**steps) for beta in betas]
    return np.array([rate, *betas, *corrections, epsilon], np.float32)


@compiled
def adam(parameters: Any, gradients: Any, first: Any, second: Any, settings: Any, sparse: bool) -> None:
    """Adam (Kingma & Ba 2015) on flat arrays, gradients zeroed on the way; `settings` is from `adam_settings`.

    With `sparse`, entries without a gradient keep their value and their moments (as tiny-cuda-nn does for tables).
    """
    rate, beta1, beta2 = settings[0], settings[1], settings[2]
    correction1, correction2, epsilon = settings[3], settings[4], settings[5]
    for i in range(parameters.shape[0]):
        g = gradients[i]
        if sparse and g == ZERO:
            continue
        gradients[i] = ZERO
        m = beta1 * first[i] + (ONE - beta1) * g
        v = beta2 * second[i] + (ONE - beta2) * g * g
        first[i] = m
        second[i] = v
        parameters[i] -= rate * (m * correction1) / (np.sqrt(v * correction2) + epsilon)
