# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrays that training on CUDA needs on the device, by the names of `field/cuda/signatures.py`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..field.cuda.program import Program

F2, F4, U4 = torch.float16, torch.float32, torch.int32
Shapes = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def batch_shapes(program: Program, samples: int, rays: int) -> Shapes:
    """The arrays of one step with room for so many samples and rays, as `signatures.py` describes them."""
    shapes: Shapes = {
        "rays": (F4, (rays, 8)),
        "targets": (F4, (rays, 4)),
        "behind": (F4, (rays, 4)),
        "harmonics": (F2, (rays, 16)),
        "picked": (U4, (rays,)),
        "ray_first": (U4, (rays,)),
        "ray_count": (U4, (rays,)),
        "seen": (F4, (rays, 4)),
        "background_gradient": (F2, (rays, 4)),
        "samples": (F4, (samples, 4)),
        "sample_ray": (U4, (samples,)),
        "encoded": (F2, (samples, program.encoded)),
        "geometry": (F2, (samples, 16)),
        "logarithm": (F4, (samples,)),
        "shares": (F4, (samples,)),
        "slot": (U4, (samples,)),
        "shaded": (U4, (samples,)),
        "alive": (U4, (samples,)),
        "colour": (F4, (samples, 4)),
        "colour_gradient": (F2, (samples, 4)),
        "geometry_gradient": (F2, (samples, 16)),
        "logarithm_gradient": (F4, (samples,)),
    }
    if program.background_rows:
        shapes["background_encoded"] = (F2, (rays, program.background_encoded))
    return shapes


def pixel_shapes(pixels: int, chosen: int, views: int) -> Shapes:
    """What the training views take, but for `farthest`, which is made on the host: as many numbers as pixels."""
    return {
        "pixels": (F2, (pixels, 4)),
        "chosen": (U4, (chosen,)),
        "first_pixel": (U4, (views + 1,)),
        "widths": (U4, (views,)),
        "cameras": (F4, (views, 16)),
    }


def adam_shapes(program: Program) -> Shapes:
    """Gradients and Adam's means: single precision, as many as there are parameters."""
    parts = {"table": (program.rows, 4), "matrix": (program.matrix_values,)}
    if program.background_rows:
        parts["background_table"] = (program.background_rows, 4)
    return {f"{part}_{kind}": (F4, shape) for part, shape in parts.items() for kind in ("gradient", "first", "second")}


def allocate(shapes: Shapes, device: torch.device) -> dict[str, Tensor]:
    """Zeros."""
    return {name: torch.zeros(shape, dtype=kind, device=device) for name, (kind, shape) in shapes.items()}
