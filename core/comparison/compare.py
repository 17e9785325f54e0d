# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin held against the classic render: every held-out test view both ways, with metrics and a report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..camera_file import camera_words
from ..cameras import Camera
from ..colour import standard_view_transform
from ..dataset.digest import dataset_digest
from ..dataset.joining import added_to
from ..dataset.store import Dataset, open_dataset
from ..errors import Cancelled, UsageError, UserError
from ..field.render import load_field, render_view
from ..files import sha256_of_file
from ..locks import locked
from ..reporting import Reporter, time_left
from ..twin_file import Twin, read_twin
from .benchmark import NERF_SYNTHETIC, nerf_synthetic_image
from .costs import cost_table, noise_ladder, training_of
from .error_points import write_error_points
from .machine import describe_machine
from .metrics import Show, display_image, flip_levels, image_metrics, magma, mean_of
from .objects import ErrorsOfObjects
from .orbit import orbit_of
from .report import write_report
from .report_folder import ERRORS, FORMAT, IMAGES, PAGE, VERSION, report_folder, require_free_or_a_report
from .turntable import (
    LEAST_FRAMES,
    MOST_FRAMES,
    ClassicOrbit,
    make_turntable,
    render_classic_orbit,
    shows_another_scene,
)
from .words import classic_name

# a camera to rgba [H, W, 4] scene-linear, premultiplied
Render = Callable[[Camera], NDArray[np.float32]]

PROTOCOL = "radiance-twin"
FIGURES = ("psnr", "psnr_foreground", "ssim", "flip")


@dataclass(frozen=True)
class CompareSettings:
    """What to compare.

    Attributes:
        dataset: the .h5; its test views are the judge.
        twin: the .twin.
        output: the report's folder; an earlier report there is replaced.
        device: auto | cpu | cuda, on which the field is rendered.
        benchmark: "nerf-synthetic" measures as that benchmark does; None is this house's own way (see metrics.py).
        turntable: frames of the film that goes around the scene; 0: none is made.
        scene: the .blend, which shows its classic side; None: the film shows the twin alone.
        blender: the Blender that renders it; see processes.find_blender.
        skip_damaged: use the sound views of a damaged dataset.
    """

    dataset: str
    twin: str
    output: str
    device: str = "auto"
    benchmark: str | None = None
    turntable: int = 0
    scene: str | None = None
    blender: str | None = None
    skip_damaged: bool = False


def compare(settings: CompareSettings, reporter: Reporter) -> dict[str, Any]:
    """Render the test views from the field, measure them and write the report's folder.

    Returns:
        metrics.json, and `report`: the page's path.

    Raises:
        UsageError: a setting makes no sense.
        UserError: a file is missing, damaged or foreign; there is no test view; the report cannot be written.
        Cancelled: an earlier report is as it was, and nothing new was written.
    """
    _check(settings)
    skip = reporter.log if settings.skip_damaged else None
    with open_dataset(settings.dataset, skip) as dataset, locked(settings.output):
        _require_judges(dataset)
        twin = read_twin(settings.twin)
        orbit = _classic_orbit(settings, dataset, reporter)
        with report_folder(settings.output) as folder:
            field = load_field(twin, settings.device)

            def render(camera: Camera) -> NDArray[np.float32]:
                return render_view(field, camera, cancelled=reporter.cancelled)[0]

            show = how_to_show(dataset, settings.benchmark)
            warnings = _warnings(settings, dataset, twin, orbit)
            for warning in warnings:
                reporter.log(f"Note: {warning}")
            _compile(render, dataset)
            (folder / IMAGES).mkdir()
            errors = ErrorsOfObjects(dataset)
            views = measure_views(dataset, render, show, folder / IMAGES, errors, reporter)
            points = errors.points()
            write_error_points(folder / ERRORS, points)
            ladder, training = noise_ladder(dataset, show), training_of(twin)
            floor = noise_floor(dataset, show)
            metrics = {
                "format": FORMAT,
                "version": VERSION,
                "dataset": {
                    "path": os.fspath(settings.dataset),
                    "sha256": sha256_of_file(settings.dataset),
                    "scene": dataset.scene_name,
                    "blender": dataset.blender_version,
                    "bounds": dataset.bounds.tolist(),
                },
                "twin": {"path": os.fspath(settings.twin), "sha256": sha256_of_file(settings.twin)},
                "protocol": settings.benchmark or PROTOCOL,
                "view_transform": _view_transform(dataset, settings.benchmark),
                "background": [1.0, 1.0, 1.0] if settings.benchmark else [float(value) for value in dataset.background],
                "mean": {name: mean_of(view[name] for view in views) for name in FIGURES},
                "noise_floor": floor,
                "noise_ladder": ladder,
                "views": views,
                "objects": errors.table(),
                "errors": {"file": ERRORS, "points": len(points)},
                "bytes": {
                    "scene": dataset.scene_bytes,
                    "dataset": os.path.getsize(settings.dataset),
                    "twin": os.path.getsize(settings.twin),
                },
                "train_seconds": training["seconds"],
                "training": training,
                "costs": cost_table(dataset, views, floor, ladder, training),
                "turntable": None,
                "machine": describe_machine(field.model.table.device),
                "warnings": warnings,
            }
            if settings.turntable:
                name = classic_name(metrics)
                metrics["turntable"] = make_turntable(
                    dataset, orbit, settings.turntable, render, show, folder, name, reporter
                )
            write_report(folder, metrics)
        if orbit is not None:
            orbit.remove()
    return {**metrics, "report": str(Path(settings.output).resolve() / PAGE)}


def _check(settings: CompareSettings) -> None:
    if settings.benchmark not in (None, NERF_SYNTHETIC):
        raise UsageError(f"--benchmark {settings.benchmark} is unknown; there is {NERF_SYNTHETIC}")
    if settings.turntable and not LEAST_FRAMES <= settings.turntable <= MOST_FRAMES:
        raise UsageError(f"--turntable is {settings.turntable}; it must be between {LEAST_FRAMES} and {MOST_FRAMES}")
    if settings.scene is not None and not settings.turntable:
        raise UsageError("--scene is rendered for --turntable alone; add that, or leave it out")


def _warnings(settings: CompareSettings, dataset: Dataset, twin: Twin, orbit: ClassicOrbit | None) -> list[str]:
    """What somebody who reads the figures has to know, a sentence each."""
    found = doubts(dataset, twin)
    if twin.is_unfinished:
        found.append("The twin is unfinished: its training was stopped, and goes on by --resume.")
    if settings.benchmark and dataset.view_transform.view != "Standard":
        found.append(f"{settings.benchmark} is measured in sRGB, not in the scene's own view transform.")
    if orbit is not None and shows_another_scene(orbit.plan, dataset):
        found.append("The turntable shows the scene as it is now; it has changed since the dataset was made.")
    return found


def _classic_orbit(settings: CompareSettings, dataset: Dataset, reporter: Reporter) -> ClassicOrbit | None:
    """The classic frames of the turntable, None when there is no film or no scene to render them from."""
    if not settings.turntable:
        return None
    if settings.scene is None:
        orbit_of(dataset, 1, (1, 1))  # refuses what has nothing to go around, before minutes are spent
        return None
    if not dataset.blender_version:
        raise UsageError(f"{settings.dataset} holds somebody else's pictures; no scene renders them, leave --scene out")
    report = Path(settings.output).resolve()
    require_free_or_a_report(report)
    return render_classic_orbit(dataset, settings.scene, settings.turntable, report, settings.blender, reporter)


def how_to_show(dataset: Dataset, benchmark: str | None) -> Show:
    """What makes the pictures that are compared, on both sides alike."""
    if benchmark == NERF_SYNTHETIC:
        return nerf_synthetic_image

    def show(rgba: NDArray[np.float32]) -> NDArray[np.uint8]:
        return display_image(rgba, dataset.background, dataset.view_transform)

    return show


def measure_views(
    dataset: Dataset, render: Render, show: Show, images: Path, errors: ErrorsOfObjects, reporter: Reporter
) -> list[dict[str, Any]]:
    """Render and measure every test view; the pair and its FLIP map go into the folder `images` as PNG.

    `errors` is given each of them.

    Returns:
        One dictionary a view, in the dataset's order: the entries of `views` in metrics.json.

    Raises:
        Cancelled: the reporter said so.
    """
    test = [int(index) for index in dataset.splits["test"]]
    views: list[dict[str, Any]] = []
    started = time.monotonic()
    for index in test:
        done = len(views)
        if reporter.cancelled():
            raise Cancelled("stopped; no report was written")
        mean = mean_of(view["psnr"] for view in views)
        reporter.progress(
            "compare",
            done,
            len(test),
            seconds_left=time_left(time.monotonic() - started, done, len(test)),
            text=f"view {done + 1} of {len(test)}",
            **({} if mean is None else {"psnr": mean}),
        )
        views.append(_measure_view(dataset, index, render, show, images, errors))
    reporter.progress("compare", len(test), len(test), seconds_left=0.0)
    return views


def noise_floor(dataset: Dataset, show: Show) -> dict[str, Any] | None:
    """The figures between two classic renders of one view with different seeds: no twin can be expected to beat them.

    None when the dataset holds no second render.
    """
    second = dataset.noise_floor
    if second is None:
        return None
    index, rgba = second
    first = dataset.rgba(index)
    result = image_metrics(show(first), show(rgba), first[..., 3], dataset.valid(index))
    return {"index": index, **{name: getattr(result, name) for name in FIGURES}}


def doubts(dataset: Dataset, twin: Twin) -> list[str]:
    """Reasons why the figures may not mean what they seem to: the twin was trained from something else."""
    scene, digest = (_training(twin, name, str) for name in ("scene_hash", "dataset_digest"))
    if not scene and not digest:
        return ["The twin does not say which dataset it was trained from."]
    if scene and dataset.scene_hash and scene != dataset.scene_hash:
        return ["The twin was trained from another scene, or this scene was changed before its dataset was rendered."]
    added = added_to(dataset)
    try:
        another = bool(digest) and digest != dataset_digest(dataset.path)
    except UserError:
        return ["The dataset is damaged, so that nobody can tell whether the twin was trained from it."]
    if another:
        # before it grew, the dataset had the same test views
        if digest in [entry.get("digest") for entry in added]:
            return []
        return ["The twin was trained from another dataset of this scene; it may have seen these test views."]
    chosen = sum(1 for entry in added for reason in entry.get("reasons", []) if reason)
    if chosen:
        return [
            f"{chosen} training views were added where these held-out views erred: the figures favour the twin. "
            "The val views, whose PSNR training shows, had no say in it."
        ]
    return []


def _measure_view(
    dataset: Dataset, index: int, render: Render, show: Show, images: Path, errors: ErrorsOfObjects
) -> dict[str, Any]:
    camera = dataset.camera(index)
    began = time.perf_counter()
    rgba = render(camera)
    neural_seconds = time.perf_counter() - began
    truth = dataset.rgba(index)
    classic, neural = show(truth), show(rgba)
    result = image_metrics(classic, neural, truth[..., 3], dataset.valid(index))
    errors.add(index, classic, neural, result.flip_map)
    names = {kind: f"{kind}_{index:03d}.png" for kind in ("classic", "neural", "flip")}
    Image.fromarray(classic).save(images / names["classic"], optimize=True)
    Image.fromarray(neural).save(images / names["neural"], optimize=True)
    _flip_image(result.flip_map).save(images / names["flip"], optimize=True)
    return {
        "index": index,
        "frame": int(dataset.frame[index]),
        **{name: getattr(result, name) for name in FIGURES},
        "foreground": result.foreground,
        **camera_words(camera),
        "classic_seconds": float(dataset.seconds[index]),
        "classic_samples": int(dataset.samples[index]),
        "neural_seconds": neural_seconds,
        "images": {kind: f"{IMAGES}/{name}" for kind, name in names.items()},
    }


def _view_transform(dataset: Dataset, benchmark: str | None) -> dict[str, Any]:
    return (standard_view_transform() if benchmark else dataset.view_transform).to_metadata()


def _require_judges(dataset: Dataset) -> None:
    if not len(dataset.splits["test"]):
        raise UserError(f"{dataset.path} has no test views; render it with --test-views 1 or more")


def _compile(render: Render, dataset: Dataset) -> None:
    """Render a stamp of the first view: compiling kernels must not count as the time of a frame."""
    render(dataset.camera(int(dataset.splits["test"][0])).resized((8, 8)))


def _flip_image(flip_map: NDArray[np.float32]) -> Image.Image:
    image = Image.fromarray(flip_levels(flip_map), "P")
    image.putpalette(magma().tobytes())
    return image


def _training(twin: Twin, name: str, *kinds: type) -> Any:
    """What the twin says of its training, or None: it may come from anybody."""
    training = twin.metadata.get("training")
    value = training.get(name) if isinstance(training, dict) else None
    return value if isinstance(value, kinds) else None
