# SPDX-License-Identifier: GPL-3.0-or-later
"""The film of the report: once around the scene, classic | neural | difference.

The classic frames are rendered by Blender's part into a hidden folder beside the report, with the dataset's own
settings. The folder stays until the report is written, so that a stopped comparison goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..camera_file import PosedCamera, write_cameras
from ..cameras import Camera
from ..dataset import staging
from ..dataset.packing import read_light
from ..dataset.staging import Plan
from ..dataset.store import Dataset
from ..lettering import INK, PAPER, font
from ..rendering.configuration import CYCLES_DEVICES
from ..rendering.render import RenderSettings, stage_views
from ..reporting import Reporter, followed
from .metrics import Show, flip_error, flip_levels, magma, mean_of, psnr
from .orbit import ANIMATED, orbit_of
from .report_folder import FILM
from .video import write_video

LEAST_FRAMES, MOST_FRAMES = 8, 1000
LARGEST_SIDE = 720  # of a pane: three of them still fit a screen, and every decoder
LEAST_SIDE = 360  # smaller panes are enlarged by a whole number
GAP = 2
CAPTION = 30
DIFFERENCE = "FLIP difference"


@dataclass(frozen=True)
class ClassicOrbit:
    """Rendered frames of a way around a scene: a staging folder, and what is in it."""

    folder: Path
    plan: Plan

    def cameras(self) -> list[Camera]:
        return [view.camera(self.plan.resolution) for view in self.plan.views]

    def rgba(self, number: int) -> NDArray[np.float32]:
        """[H, W, 4] scene-linear, premultiplied."""
        return read_light(self.folder, self.plan, self.plan.views[number])

    def seconds(self) -> list[float]:
        """That each frame took."""
        records = [staging.read_record(self.folder, view) for view in self.plan.views]
        return [float(record["seconds"]) for record in records if record is not None]

    def remove(self) -> None:
        staging.remove_staging(self.folder)


def render_classic_orbit(
    dataset: Dataset, scene: str, frames: int, report: Path, blender: str | None, reporter: Reporter
) -> ClassicOrbit:
    """Have Blender's part render the frames of a turntable, as it rendered the dataset's test views.

    Args:
        scene: the .blend. report: the report's folder, beside which they are kept.

    Raises:
        UserError, Cancelled: see core/rendering/render.py.
    """
    made = dataset.configuration
    device, samples = made.get("cycles_device"), int(dataset.samples[dataset.splits["test"][0]])
    settings = RenderSettings(
        scene=scene,
        output=report.with_name(f".{report.name}_turntable.h5"),
        rig=ANIMATED if made.get("rig") == ANIMATED else "poses",
        views=frames,
        val_views=0,
        test_views=0,
        resolution=pane_size(dataset),
        samples=max(samples, 1),
        denoise=bool(made.get("denoise", True)),
        film=dataset.film,
        seed=dataset.seed,
        randomise=made.get("randomise", ()),
        cycles_device=device if device in CYCLES_DEVICES else "auto",
        blender=blender,
    )
    if settings.rig == ANIMATED:  # it has a way of its own, and a depth of field
        folder, plan, _ = stage_views(settings, reporter)
        return ClassicOrbit(folder, plan)
    cameras = orbit_of(dataset, frames, settings.resolution)
    posed = [PosedCamera(camera, int(dataset.frame[0]), split="train") for camera in cameras]
    with TemporaryDirectory() as elsewhere:
        poses = Path(elsewhere, "poses.json")
        write_cameras(poses, posed)
        folder, plan, _ = stage_views(replace(settings, poses=str(poses)), reporter)
    return ClassicOrbit(folder, plan)


def shows_another_scene(plan: Plan, dataset: Dataset) -> bool:
    """Whether the scene of a turntable is not the one that the dataset was rendered from, as far as can be seen."""
    if plan.scene_hash == dataset.scene_hash:
        return False
    size = float(np.ptp(dataset.bounds, axis=0).max())
    same_box = np.allclose(plan.bounds, dataset.bounds, rtol=0.0, atol=1e-4 * size)
    names = [{str(thing["name"]) for thing in objects} for objects in (plan.objects, dataset.objects)]
    return not same_box or names[0] != names[1]


def pane_size(dataset: Dataset) -> tuple[int, int]:
    """Width and height of a frame: the dataset's own, at most LARGEST_SIDE."""
    width, height = (int(side) for side in dataset.size[0])
    scale = min(1.0, LARGEST_SIDE / max(width, height))
    return max(round(scale * width), 1), max(round(scale * height), 1)


def make_turntable(
    dataset: Dataset,
    orbit: ClassicOrbit | None,
    frames: int,
    render: Callable[..., NDArray[np.float32]],
    show: Show,
    folder: Path,
    classic: str,
    reporter: Reporter,
) -> dict[str, Any]:
    """Render the field along the way and write FILM into `folder`; without `orbit` the twin is shown alone.

    Args:
        render: a camera to rgba [H, W, 4], scene-linear and premultiplied.
        classic: what the classic side is called.

    Returns:
        `turntable` of metrics.json: file, frames, rate (a second), size [width, height] of a picture, sides, psnr (mean
        over the frames; None without a classic side, or when all are identical), classic_seconds (None without one)
        and neural_seconds (means a frame).

    Raises:
        Cancelled: the reporter said so. OSError: the film cannot be written.
    """
    cameras = orbit_of(dataset, frames, pane_size(dataset)) if orbit is None else orbit.cameras()
    likeness: list[float | None] = []
    seconds: list[float] = []
    sides = ["Radiance Twin"] if orbit is None else [classic, "Radiance Twin", DIFFERENCE]

    def pictures() -> Iterator[NDArray[np.uint8]]:
        stopped = "stopped; no report was written"
        for number, camera in enumerate(followed(cameras, "turntable", reporter, "frame", stopped)):
            began = time.perf_counter()
            rgba = render(camera)
            seconds.append(time.perf_counter() - began)
            panes = [show(rgba)]
            if orbit is not None:
                truth = show(orbit.rgba(number))
                likeness.append(psnr(truth, panes[0]))
                panes = [truth, panes[0], magma()[flip_levels(flip_error(truth, panes[0])[1])]]
            yield film_frame(panes, sides)

    rate = frame_rate(frames)
    write_video(folder / FILM, pictures(), rate)
    return {
        "file": FILM,
        "frames": len(cameras),
        "rate": rate,
        "size": list(cameras[0].size),
        "sides": sides,
        "psnr": mean_of(likeness),
        "classic_seconds": None if orbit is None else mean_of(orbit.seconds()),
        "neural_seconds": mean_of(seconds),
    }


def frame_rate(frames: int) -> int:
    """Frames a second: once around takes four seconds, but neither stutters nor races."""
    return min(max(round(frames / 4), 8), 30)


def film_frame(panes: Sequence[NDArray[np.uint8]], captions: Sequence[str]) -> NDArray[np.uint8]:
    """Pictures [H, W, 3] of one size side by side, each with its caption below; even in width and height.

    Small ones are enlarged by a whole number and keep their pixels.
    """
    zoom = max(1, -(-LEAST_SIDE // max(panes[0].shape[:2])))
    panes = [pane.repeat(zoom, axis=0).repeat(zoom, axis=1) for pane in panes]
    height, width = panes[0].shape[:2]
    whole = len(panes) * width + (len(panes) - 1) * GAP
    sheet = Image.new("RGB", (whole + whole % 2, height + CAPTION + height % 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (pane, caption) in enumerate(zip(panes, captions, strict=True)):
        left = number * (width + GAP)
        sheet.paste(Image.fromarray(pane), (left, 0))
        draw.text((left + width / 2, height + CAPTION / 2), caption, font=font(15), fill=INK, anchor="mm")
    return np.asarray(sheet)
