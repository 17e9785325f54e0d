# SPDX-License-Identifier: GPL-3.0-or-later
"""Shaders from files of GLSL that cover a rectangle: one block of uniforms, textures, and a square to draw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import gpu
from gpu_extras.batch import batch_for_shader

Samplers = dict[str, Literal["FLOAT_2D", "FLOAT_3D"]]


@cache
def square(shader: gpu.types.GPUShader) -> gpu.types.GPUBatch:
    """What a shader of `make_shader` draws."""
    corners = [(0, 0), (1, 0), (1, 1), (0, 0), (1, 1), (0, 1)]
    return batch_for_shader(shader, "TRIS", {"corner": corners})


def make_shader(
    name: str,
    members: str,
    samplers: Samplers,
    vertex: str,
    *shared: str,
    defines: Sequence[str] = (),
) -> gpu.types.GPUShader:
    """A shader for a square of corners 0 … 1.

    Args:
        name: of its file of GLSL, in this folder.
        members: of its one block of uniforms.
        samplers: names of its textures, and their kinds.
        vertex: what the vertex shader does; it sets `uv` and `gl_Position` from `corner`.
        shared: files of GLSL that the fragment shader needs, before its own.
        defines: names that GLSL's #ifdef shall find.
    """
    # one uniform buffer: push constants are guaranteed for 128 bytes only
    info = gpu.types.GPUShaderCreateInfo()
    struct = f"RadianceTwin{name.capitalize()}"
    info.typedef_source(f"struct {struct} {{ {members} }};\n")
    info.uniform_buf(0, struct, "uniforms")
    for define in defines:
        info.define(define, "1")
    for slot, (sampler, kind) in enumerate(samplers.items()):
        info.sampler(slot, kind, sampler)
    between = gpu.types.GPUStageInterfaceInfo(f"radiance_twin_{name}")
    between.smooth("VEC2", "uv")
    info.vertex_in(0, "VEC2", "corner")
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "result")
    info.vertex_source(f"void main() {{ {vertex} }}")
    parts = (Path(__file__).with_name(f"{part}.glsl").read_text(encoding="utf-8") for part in (*shared, name))
    info.fragment_source("\n".join(parts))
    return gpu.shader.create_from_info(info)
