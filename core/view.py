# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture of a twin's field as a file: PNG as a screen shows it, or OpenEXR with the light itself and depth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from .camera_file import read_camera
from .cameras import Camera
from .colour import ViewTransform
from .dataset.store import open_dataset
from .dataset.writers.pictures import straight_image, write_exr
from .errors import UsageError, UserError
from .field.render import load_field, render_view
from .files import atomic_path, require_ending, require_writable_file
from .reporting import Reporter, time_left
from .twin_file import Twin, read_twin

KINDS = (".png", ".exr")
LARGEST_SIDE = 16384


@dataclass(frozen=True)
class ViewSettings:
    """What to look at, from where.

    Attributes:
        twin: the .twin.
        output: the picture, .png or .exr.
        camera: a JSON file {"camera_to_world": [4][4], "intrinsics": [fx, fy, cx, cy], "size": [width, height]}; with
            "orthographic": true its fx and fy are pixels per scene unit.
        dataset, view: instead of a camera, an .h5 and the index of one of its views.
        size: width and height in pixels, when not the camera's own; the picture shows the same, stretched to it.
        device: auto | cpu | cuda.
    """

    twin: str
    output: str
    camera: str | None = None
    dataset: str | None = None
    view: int | None = None
    size: tuple[int, int] | None = None
    device: str = "auto"


def view(settings: ViewSettings, reporter: Reporter) -> dict[str, Any]:
    """Render one picture and write it.

    A PNG went through the twin's view transform; its alpha is straight, as PNG has it. An EXR holds R, G, B, A
    (scene-linear, premultiplied) and Z (planar depth in scene units, 0 where there is nothing), all 32-bit.

    Returns:
        output, size, seconds (of the rendering alone).

    Raises:
        UsageError: no camera, two cameras, or another kind of file.
        UserError: a file is missing, damaged or foreign, or the picture cannot be written.
        Cancelled: nothing was written.
    """
    kind = Path(settings.output).suffix.lower()
    require_ending(settings.output, *KINDS)
    camera = camera_of(settings)
    target = require_writable_file(settings.output)
    twin = read_twin(settings.twin)
    view_transform = view_transform_of(twin) if kind == ".png" else None
    field = load_field(twin, settings.device)
    began = time.perf_counter()

    def followed(share: float) -> None:
        reporter.progress("view", share, 1.0, seconds_left=time_left(time.perf_counter() - began, share, 1.0))

    followed(0.0)
    rgba, depth = render_view(field, camera, cancelled=reporter.cancelled, followed=followed)
    seconds = time.perf_counter() - began
    reporter.progress("view", 1.0, 1.0)
    with atomic_path(target) as temporary:
        if view_transform is None:
            write_exr(temporary, {"RGBA": rgba, "Z": depth})
        else:
            Image.fromarray(straight_image(rgba, view_transform)).save(temporary, format="PNG")
    return {"output": str(target), "size": list(camera.size), "seconds": seconds}


def camera_of(settings: ViewSettings) -> Camera:
    """The camera that was asked for, at the size that was asked for.

    Raises:
        UsageError, UserError: as for `view`.
    """
    if (settings.camera is None) == (settings.dataset is None):
        raise UsageError("say from where: either --camera CAMERA.json or --dataset SCENE.h5 --view N")
    if (settings.dataset is None) != (settings.view is None):
        raise UsageError("--dataset and --view N belong together")
    if settings.camera is not None:
        camera = read_camera(settings.camera, settings.size)
    else:
        assert settings.dataset is not None and settings.view is not None
        camera = camera_of_view(settings.dataset, settings.view)
    size = camera.size if settings.size is None else (int(settings.size[0]), int(settings.size[1]))
    if not (min(size) >= 1 and max(size) <= LARGEST_SIDE):
        raise UsageError(f"a picture of {size[0]} x {size[1]} pixels cannot be made; sides are 1 to {LARGEST_SIDE}")
    return camera.resized(size)


def camera_of_view(path: str, index: int) -> Camera:
    """The camera of a dataset's view.

    Raises:
        UserError: no dataset, or it has no such view.
    """
    with open_dataset(path) as dataset:
        count = len(dataset.size)
        if not 0 <= index < count:
            raise UserError(f"{path} has no view {index}; it has 0 to {count - 1}")
        return dataset.camera(index)


def view_transform_of(twin: Twin) -> ViewTransform:
    """The view transform that a twin carries.

    Raises:
        UserError: it carries none, or a damaged one.
    """
    metadata, folder = twin.metadata.get("view_transform"), "view_transform/"
    if not isinstance(metadata, dict):
        raise UserError("the twin has no view transform to make a PNG with; write an .exr, or train again")
    arrays = {name.removeprefix(folder): array for name, array in twin.arrays.items() if name.startswith(folder)}
    return ViewTransform.from_metadata(metadata, arrays)
