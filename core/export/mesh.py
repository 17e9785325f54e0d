# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as a textured mesh: .glb with a texture that shines, .ply with coloured vertices."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fast_simplification
import numpy as np
import trimesh
import xatlas
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from ..cameras import Camera
from ..colour import srgb_bytes, srgb_to_linear
from ..errors import Cancelled
from ..reporting import Reporter
from .raster import coloured_picture, draw, textured_picture
from .shots import Shot
from .surface import Surface, colours_at

F8 = NDArray[np.float64]
F4 = NDArray[np.float32]

# of the decimated mesh with a texture, and of the one whose vertices have colours
MOST_FACES = 60_000
MOST_COLOURED_FACES = 400_000
TEXELS_PER_VOXEL = 1.5
LARGEST_TEXTURE = 4096
# texels between charts, and how much of the texture they fill, about
PADDING = 3
FILLED = 0.6
# the texture holds light up to this quantile, and what few highlights are brighter are cut off
BRIGHTEST = 0.999
# world z up becomes glTF's y up
GLTF_FROM_WORLD = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh in the world that shines with its texture's light, for itself and in the dark.

    Attributes:
        vertices: [V, 3]; along seams there is one for each side. normals: [V, 3] unit. faces: [F, 3].
        uv: [V, 2] from the lower left corner.
        texture: [TH, TW, 3] uint8, sRGB; 255 stands for a radiance of `strength`.
    """

    vertices: F8
    normals: F8
    faces: NDArray[np.int64]
    uv: F8
    texture: NDArray[np.uint8]
    strength: float

    def picture(self, camera: Camera) -> F4:
        """[H, W, 4] scene-linear, premultiplied."""
        return textured_picture(self.vertices, self.faces, self.uv, self.light, camera)

    @property
    def light(self) -> F4:
        """The texture [TH, TW, 3] as scene-linear radiance, as it comes out of its eight bits."""
        return srgb_to_linear(np.arange(256) / 255.0)[self.texture] * np.float32(self.strength)


@dataclass(frozen=True)
class ColouredMesh:
    """A mesh in the world that shines with its vertices' colours.

    Attributes:
        vertices: [V, 3]. normals: [V, 3] unit. faces: [F, 3]. colours: [V, 3] scene-linear.
    """

    vertices: F8
    normals: F8
    faces: NDArray[np.int64]
    colours: F4

    def picture(self, camera: Camera) -> F4:
        """[H, W, 4] scene-linear, premultiplied, with the colours as eight bits hold them."""
        colours = srgb_to_linear(srgb_bytes(self.colours) / 255.0)
        return coloured_picture(self.vertices, self.faces, colours, camera)


def textured_mesh(
    surface: Surface, shots: Sequence[Shot], pool: ThreadPoolExecutor, reporter: Reporter
) -> TexturedMesh:
    """Decimate a surface, unfold it and bake what the shots show of it into a texture.

    Raises:
        UserError: no shot sees the surface. Cancelled: the reporter said so.
    """
    reporter.progress("simplify", 0.0, 1.0)
    vertices, faces = decimated(surface, MOST_FACES)
    reporter.progress("unfold", 0.0, 1.0, text=f"{len(faces):,} faces")
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    if reporter.cancelled():
        raise Cancelled
    origin, corners, uv, (width, height) = unfolded(vertices, faces, normals, surface.voxel)
    if reporter.cancelled():
        raise Cancelled
    vertices, normals, faces = vertices[origin], normals[origin], corners
    # texel centres of every triangle, and the points of the surface that they stand for
    flat = np.concatenate([uv * [1, -1] + [0, 1], np.ones((len(uv), 1))], axis=1) * [width, height, 1.0]
    drawn = draw(flat[faces], width, height)
    there, points = drawn.interpolate(vertices[faces])
    _, directions = drawn.interpolate(normals[faces])
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    light = np.zeros((height, width, 3), np.float32)
    light[there] = colours_at(points, directions, shots, surface.voxel, pool, reporter)
    # texels around the charts have their nearest neighbour's colour: pictures are read across the borders
    _, nearest = distance_transform_edt(~there, return_indices=True)
    light = light[tuple(nearest)]
    strength = max(1.0, float(np.quantile(light[there].max(axis=1), BRIGHTEST)))
    return TexturedMesh(vertices, normals, faces, uv, srgb_bytes(light / np.float32(strength)), strength)


def decimated(surface: Surface, most: int) -> tuple[F8, NDArray[np.int64]]:
    """Vertices and faces, at most `most` of them, by quadric error metrics (Garland and Heckbert, 1997).

    Half of the faces go in any case: among those of marching cubes are slivers that nothing can be done with.
    """
    most = min(most, len(surface.faces) // 2)
    # single precision has its digits around the mesh's own middle
    middle = surface.vertices.mean(axis=0)
    vertices, faces = fast_simplification.simplify(
        (surface.vertices - middle).astype(np.float32), surface.faces.astype(np.int32), target_count=most
    )
    return vertices.astype(np.float64) + middle, faces.astype(np.int64)


def unfolded(
    vertices: F8, faces: NDArray[np.int64], normals: F8, voxel: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], F8, tuple[int, int]]:
    """Charts of a mesh, packed side by side (xatlas).

    Returns:
        Of each new vertex the old one [U], the faces [F, 3] of new vertices, uv [U, 2] from the lower left corner, and
        the width and height, in texels, that the charts were packed for.
    """
    # in voxels: faces below a fixed area count as degenerate
    scaled = (vertices - vertices.mean(axis=0)) / voxel
    atlas = xatlas.Atlas()
    atlas.add_mesh(scaled.astype(np.float32), faces.astype(np.uint32), normals.astype(np.float32))
    sides = scaled[faces[:, 1:]] - scaled[faces[:, :1]]
    area = 0.5 * float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum())
    packing = xatlas.PackOptions()
    packing.padding = PADDING
    packing.texels_per_unit = min(TEXELS_PER_VOXEL, LARGEST_TEXTURE * np.sqrt(FILLED / area))
    atlas.generate(pack_options=packing)
    origin, corners, uv = atlas[0]
    return origin.astype(np.int64), corners.astype(np.int64), uv.astype(np.float64), (atlas.width, atlas.height)


def glb_of(mesh: TexturedMesh) -> bytes:
    """The mesh as binary glTF 2.0, y up, one unit a Blender unit.

    Its base colour is black and without highlights, its emission the texture: it looks the same in any light. Radiance
    above 1 needs the extension KHR_materials_emissive_strength, which Blender and most viewers know.
    """
    material = trimesh.visual.material.PBRMaterial(
        name="Radiance Twin",
        baseColorFactor=[0, 0, 0, 255],
        metallicFactor=0.0,
        roughnessFactor=1.0,
        emissiveTexture=Image.fromarray(mesh.texture),
        emissiveFactor=[1.0, 1.0, 1.0],
    )
    made = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=mesh.normals,
        visual=trimesh.visual.TextureVisuals(uv=mesh.uv, material=material),
        process=False,
    )
    made.apply_transform(GLTF_FROM_WORLD)

    def extend(tree: dict[str, Any]) -> None:
        extensions: dict[str, Any] = {"KHR_materials_specular": {"specularFactor": 0.0}}
        if mesh.strength > 1.0:
            extensions["KHR_materials_emissive_strength"] = {"emissiveStrength": mesh.strength}
        tree["materials"][0]["extensions"] = extensions
        tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", ()), *extensions})

    written: bytes = trimesh.exchange.gltf.export_glb(
        trimesh.Scene({"twin": made}), include_normals=True, tree_postprocessor=extend
    )
    return written


def coloured_mesh(
    surface: Surface, shots: Sequence[Shot], pool: ThreadPoolExecutor, reporter: Reporter
) -> ColouredMesh:
    """Decimate a surface and give its vertices the colours that the shots show.

    Raises:
        UserError: no shot sees the surface. Cancelled: the reporter said so.
    """
    reporter.progress("simplify", 0.0, 1.0)
    vertices, faces = decimated(surface, MOST_COLOURED_FACES)
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    reporter.progress("simplify", 1.0, 1.0)
    return ColouredMesh(vertices, normals, faces, colours_at(vertices, normals, shots, surface.voxel, pool, reporter))


def ply_of(mesh: ColouredMesh) -> bytes:
    """The mesh as binary PLY, z up: every vertex has a normal and a colour in 8-bit sRGB; above 1 it is cut off."""
    made = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=srgb_bytes(mesh.colours),
        process=False,
    )
    written: bytes = trimesh.exchange.ply.export_ply(made, vertex_normal=True)
    return written
