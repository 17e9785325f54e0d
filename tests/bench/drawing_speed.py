# SPDX-License-Identifier: GPL-3.0-or-later
"""How much it costs to draw a twin: `python tests/bench/drawing_speed.py TWIN.twin`, with bpy 5.2; see README.md."""

from __future__ import annotations

import argparse
import itertools
import json
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import gpu
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent.parent
runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.addon.studio.volume import new_volume, write_volume  # noqa: E402
from radiance_twin.addon.viewport.bakes import Bake, read_bake  # noqa: E402
from radiance_twin.addon.viewport.draw import draw  # noqa: E402
from radiance_twin.addon.viewport.march import PlacedTwin, Rectangle, march, new_picture  # noqa: E402
from radiance_twin.core.bake.bricks import SIDE, Bricks  # noqa: E402
from radiance_twin.core.cameras import look_at, uniform_scale  # noqa: E402
from radiance_twin.core.colour import standard_view_transform  # noqa: E402
from radiance_twin.core.reporting import QuietReporter  # noqa: E402

SIZE = (640, 480)
NEAR, FAR = 0.01, 1000.0
# of EEVEE's volumes: as Blender has them at first, and as *Export Twin* sets them
EEVEE = {"default": ("8", 64), "as exported": ("1", 256)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("twin")
    parser.add_argument("--runs", type=int, default=3, help="of each drawing, after the first that is not counted")
    parser.add_argument(
        "--no-volume", action="store_true", help="leave EEVEE out, whose shaders take a minute to compile"
    )
    settings = parser.parse_args()
    began = time.perf_counter()
    bake = read_bake(settings.twin)
    # let go of when it is on the GPU
    assert bake.contents is not None
    bricks = bake.contents.bricks
    row: dict[str, Any] = {
        "twin": Path(settings.twin).name,
        "MB": round(Path(settings.twin).stat().st_size / 1e6, 1),
        "voxels": bricks.resolution,
        "bricks": bricks.count,
        "network": bricks.network is not None,
        "read_seconds": round(time.perf_counter() - began, 2),
    }
    gpu.init()
    began = time.perf_counter()
    textures = bake.on_gpu()
    assert textures is not None, bake.notice
    row["upload_seconds"] = round(time.perf_counter() - began, 2)
    row["GPU_MB"] = round(int(np.prod(textures.layout)) * 1000 * (8 + 4 * len(textures.features or ())) / 1e6, 1)
    view, projection = camera_of(bake)
    placed = [PlacedTwin(textures, bake.world_from_field)]
    row |= fetches(placed, view, projection)
    texture = gpu.types.GPUTexture(SIZE, format="RGBA16F")
    framebuffer = gpu.types.GPUFrameBuffer(color_slots=texture)

    def draw_bake() -> None:
        with framebuffer.bind():
            framebuffer.clear(color=(0.0, 0.0, 0.0, 1.0))
            draw(view, projection, SIZE, placed, standard_view_transform())
            framebuffer.read_color(0, 0, 1, 1, 4, 0, "FLOAT")

    (row["bake_seconds"],) = seconds_of(settings.runs, draw_bake)
    if not settings.no_volume:
        with tempfile.TemporaryDirectory() as folder:
            for name, (tile, steps) in EEVEE.items():
                volume = volume_drawing(bricks, bake.world_from_field, Path(folder), view, projection, tile, steps)
                own, eevee = seconds_of(settings.runs, draw_bake, volume)
                word = name.replace(" ", "_")
                row[f"eevee_{word}_seconds"] = eevee
                row[f"bake_over_eevee_{word}"] = round(own / eevee, 2)
                sys.stderr.write(f"EEVEE {name}: {eevee} s, bake {own} s\n")
    sys.stdout.write(json.dumps(row, indent=1) + "\n")


def seconds_of(runs: int, *drawings: Callable[[], None]) -> list[float]:
    """Least processor's seconds of each, drawn in turn: on software OpenGL they do not depend on other work."""
    found: list[list[float]] = [[] for _ in drawings]
    for _ in range(1 + runs):
        for drawing, seconds in zip(drawings, found, strict=True):
            began = time.process_time()
            drawing()
            seconds.append(time.process_time() - began)
    return [round(min(seconds[1:]), 4) for seconds in found]


def camera_of(bake: Bake) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """View and projection matrices from which the twin fills the picture's height, obliquely from above."""
    centre, size = bake.box.mean(axis=0), float(np.ptp(bake.box, axis=0).max())
    view = np.linalg.inv(look_at(centre + np.array([1.3, -1.7, 1.0]) * size, centre))
    width, height = SIZE
    across = 2.4
    projection = np.array(
        [
            [across, 0, 0, 0],
            [0, across * width / height, 0, 0],
            [0, 0, -(FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
            [0, 0, -1, 0],
        ]
    )
    return view, projection


def fetches(placed: list[PlacedTwin], view: NDArray[np.float64], projection: NDArray[np.float64]) -> dict[str, float]:
    """Texels that the shader reads for a pixel, by a build of it that counts them."""
    pictures = []
    for count in (False, True):
        picture = new_picture(SIZE, "RGBA32F")
        march(placed, view, projection, SIZE, Rectangle(0, 0, *SIZE), picture, count_fetches=count)
        with picture.framebuffer.bind():
            buffer = picture.framebuffer.read_color(0, 0, *SIZE, 4, 0, "FLOAT")
        buffer.dimensions = SIZE[0] * SIZE[1] * 4
        pictures.append(np.frombuffer(buffer, np.float32).reshape(-1, 4).copy())
    seen, read = pictures[0][:, 3] > 0.0, pictures[1][:, 0]
    return {
        "pixels_of_the_twin": round(float(seen.mean()), 3),
        "fetches_mean": round(float(read.mean()), 1),
        "fetches_mean_of_the_twin": round(float(read[seen].mean()), 1),
        "fetches_99th": round(float(np.percentile(read, 99)), 1),
    }


def volume_drawing(
    bricks: Bricks,
    world_from_field: NDArray[np.float64],
    folder: Path,
    view: NDArray[np.float64],
    projection: NDArray[np.float64],
    tile: str,
    steps: int,
) -> Callable[[], None]:
    """Draws the same grid as a Volume object in EEVEE, one sample of it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "BLENDER_EEVEE"
    scene.eevee.taa_samples = 1
    scene.eevee.volumetric_tile_size, scene.eevee.volumetric_samples = tile, steps
    path = folder / "bake.vdb"
    if not path.exists():
        write_grid(bricks, world_from_field, folder, path)
    volume = new_volume(bpy.context, str(path), "Bake").data
    assert isinstance(volume, bpy.types.Volume) and volume.grids.load(), volume.grids.error_message
    bpy.context.view_layer.update()
    screen = bpy.context.window_manager.windows[0].screen
    area = next(area for area in screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    space = area.spaces.active
    space.shading.type = "RENDERED"
    space.overlay.show_overlays = False
    offscreen = gpu.types.GPUOffScreen(*SIZE, format="RGBA16F")
    steps_aside = itertools.count()

    def drawing() -> None:
        # from the same place EEVEE shows what it has drawn before
        aside = np.eye(4)
        aside[0, 3] = 1e-4 * next(steps_aside)
        offscreen.draw_view3d(scene, bpy.context.view_layer, space, region, Matrix(aside @ view), Matrix(projection))
        with offscreen.bind():
            gpu.state.active_framebuffer_get().read_color(0, 0, 1, 1, 4, 0, "FLOAT")

    drawing()
    with offscreen.bind():
        seen = gpu.state.active_framebuffer_get().read_color(0, 0, *SIZE, 3, 0, "FLOAT")
    assert np.array(seen.to_list()).max() > 0.1, "EEVEE shows nothing of the volume"
    return drawing


def write_grid(bricks: Bricks, world_from_field: NDArray[np.float64], folder: Path, path: Path) -> None:
    density, colour = dense(bricks, bricks.density), dense(bricks, bricks.colour)
    n = bricks.resolution
    world_from_index = world_from_field @ np.diag([1 / n, 1 / n, 1 / n, 1.0])
    world_from_index[:3, 3] += world_from_index[:3, :3] @ np.full(3, 0.5)
    arguments: dict[str, Any] = {"output": str(path), "world_from_index": world_from_index.tolist()}
    grids = {"density": density.astype(np.float32) / uniform_scale(world_from_field), "color": colour}
    for name, array in grids.items():
        arguments[name] = str(folder / f"{name}.npy")
        np.save(arguments[name], array)
    write_volume(arguments, QuietReporter())


def dense(bricks: Bricks, values: NDArray[Any]) -> NDArray[Any]:
    """The whole cube of values [k, 8, 8, 8, ...], zero where there is no brick."""
    m = bricks.index.shape[0]
    grid = np.zeros((m, m, m, SIDE, SIDE, SIDE, *values.shape[4:]), values.dtype)
    grid[tuple(bricks.places.T)] = values
    axes = (0, 3, 1, 4, 2, 5, *range(6, grid.ndim))
    return grid.transpose(axes).reshape(*(m * SIDE,) * 3, *values.shape[4:])


if __name__ == "__main__":
    main()
