# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else's posed images become one .h5 dataset."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .cameras import distance_over_depth, pixel_grid, world_from_field_of_bounds
from .colour import srgb_to_linear, standard_view_transform
from .dataset.contents import DatasetHeader, ViewPixels
from .dataset.readers import colmap, nerf, nerfstudio, ngp
from .dataset.readers.bounds import bounds_from_cameras
from .dataset.readers.colmap_model import model_folder
from .dataset.readers.lens import undistorted, undistortion
from .dataset.readers.pictures import check_picture, read_depth, read_grey, read_picture
from .dataset.readers.posed import Lens, PosedImage, PosedImages, Problems, Unsound, read_json
from .dataset.readers.transforms import SPLIT_FILES, TRANSFORMS, transforms_file
from .dataset.writing import write_dataset
from .errors import UsageError, UserError
from .files import require_ending, require_writable_file
from .locks import locked
from .reporting import Reporter, followed

READERS = {"nerf": nerf.read, "ngp": ngp.read, "nerfstudio": nerfstudio.read, "colmap": colmap.read}
COLOURS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}
# what only nerfstudio writes into a transforms.json, at the top and in a frame
OF_NERFSTUDIO = {"camera_model", "applied_transform", "orientation_override", "ply_file_path", "train_filenames"}
OF_NERFSTUDIO_FRAMES = {"camera_model", "mask_path", "depth_file_path", "colmap_im_id"}
# so many wrong images are put up with, or this share of all; with more of them something is wrong with the dataset
FEW, FEW_SHARE = 3, 0.05
TEST_EVERY = 8
MOST_VAL = 4
# opaque pixels without depth: there is something, and nobody measured how far away
OPAQUE = 0.5
STOPPED = "stopped; nothing was written"


@dataclass(frozen=True)
class ImportSettings:
    """What to import.

    Attributes:
        source: the dataset's folder, or its JSON file.
        output: the .h5.
        format: auto | nerf | ngp | nerfstudio | colmap.
        images: the folder of the images, when it is not the dataset's own.
        background: black, white or R,G,B in 0..1 as a screen shows them: what transparent images were made for.
        distance_depth: whether depth files hold the distance from the camera instead of planar z.
        strict: whether the first problem ends it.
    """

    source: str
    output: str
    format: str = "auto"
    images: str | None = None
    background: str | None = None
    distance_depth: bool = False
    strict: bool = False


def import_dataset(settings: ImportSettings, reporter: Reporter) -> dict[str, Any]:
    """Read a dataset and write it as one .h5.

    Returns:
        output, format, views per split, problems (one line each), remarks, film, depth (whether there is any),
        undistorted (how many images were), bytes, seconds.

    Raises:
        UsageError: a setting makes no sense.
        UserError: nothing can be imported, or more than a few images are wrong, or the .h5 cannot be written.
        Cancelled: nothing was written.
    """
    source, output, images, background = _check(settings)
    require_writable_file(output)
    started = time.monotonic()
    kind = detect_format(source) if settings.format == "auto" else settings.format
    reporter.log(f"Reading {source} as {kind}")
    problems = Problems(reporter.log, settings.strict)
    found = READERS[kind](source, images, problems)
    for remark in found.remarks:
        reporter.log(f"Note: {remark}")
    named = len(found.images) + len(problems.lines)
    sound, transparent = _check_pictures(found.images, problems, reporter)
    if not sound:
        raise UserError(f"no image of {source} can be imported: {_first(problems)}")
    wrong = named - len(sound)
    if wrong > max(FEW, FEW_SHARE * named):
        raise UserError(
            f"{wrong} of {named} images of {source} are wrong, more than a few, so nothing was written; mend or remove "
            f"them; the first is {_first(problems)}"
        )
    found.images = sound
    splits = choose_splits([image.split for image in sound])
    header = _header(source, kind, found, splits, transparent, background, problems, reporter)
    views = _views(sound, transparent, settings.distance_depth, reporter)
    with locked(output):
        write_dataset(output, header, views)
    return {
        "output": str(output),
        "format": kind,
        "views": {name: len(indices) for name, indices in splits.items()},
        "problems": problems.lines,
        "remarks": found.remarks,
        "film": header.film,
        "depth": any(image.depth for image in sound),
        "undistorted": sum(not image.lens.is_pinhole for image in sound),
        "bytes": output.stat().st_size,
        "seconds": time.monotonic() - started,
    }


def detect_format(source: Path) -> str:
    """Which format lies at `source`: by the names of its files, and by the words in a transforms.json.

    Raises:
        UserError: none that is known.
    """
    if source.is_file() and source.name.startswith("transforms_"):
        return "nerf"
    if source.is_dir() and any((source / name).is_file() for name in SPLIT_FILES.values()):
        return "nerf"
    path = transforms_file(source)
    if path.suffix == ".json" and path.is_file():
        meta = read_json(path)
        frames = meta.get("frames")
        words = set(frames[0]) if isinstance(frames, list) and frames and isinstance(frames[0], dict) else set()
        return "nerfstudio" if OF_NERFSTUDIO & set(meta) or OF_NERFSTUDIO_FRAMES & words else "ngp"
    if model_folder(source if source.is_dir() else source.parent) is not None:
        return "colmap"
    raise UserError(
        f"{source} holds no known dataset ({SPLIT_FILES['train']}, {TRANSFORMS}, or COLMAP's cameras.txt or "
        "cameras.bin); name the folder that does"
    )


def choose_splits(named: list[str | None]) -> dict[str, list[int]]:
    """Indices of train, val and test: as the format says.

    Where it names no test views, every 8th of the training views is one; where it names no val views either, a few are.
    """
    train = [i for i, split in enumerate(named) if split in (None, "train")]
    val = [i for i, split in enumerate(named) if split == "val"]
    test = [i for i, split in enumerate(named) if split == "test"]
    if not test:
        test = train[::TEST_EVERY] if len(train) >= 4 else []
        train = [i for i in train if i not in set(test)]
        few = 0 if val else min(MOST_VAL, len(train) // TEST_EVERY)
        val += [train[int((i + 0.5) * len(train) / few)] for i in range(few)]
        train = [i for i in train if i not in val]
    return {"train": train, "val": val, "test": test}


def _check(settings: ImportSettings) -> tuple[Path, Path, Path | None, tuple[float, float, float] | None]:
    source, output = Path(settings.source), Path(settings.output)
    if settings.format not in ("auto", *READERS):
        raise UsageError(f"--format {settings.format} is unknown; choose one of auto, {', '.join(READERS)}")
    require_ending(output, ".h5")
    background = None
    if settings.background is not None:
        background = COLOURS.get(settings.background) or _colour(settings.background)
    if not source.exists():
        raise UserError(f"{source} does not exist; check the path of the dataset")
    images = Path(settings.images) if settings.images else None
    if images is not None and not images.is_dir():
        raise UserError(f"{images} is no folder; name the folder of the images by --images")
    return source, output, images, background


def _colour(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(srgb_to_linear(_in_range(float(word)))) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--background {text} is no colour; write black, white, or three numbers in 0..1 like 0.5,0.5,0.5"
        ) from None
    return red, green, blue


def _in_range(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError
    return value


def _check_pictures(images: list[PosedImage], problems: Problems, reporter: Reporter) -> tuple[list[PosedImage], bool]:
    """Decode everything once: which images are sound, and whether any of them is transparent somewhere."""
    sound: list[PosedImage] = []
    transparent = False
    for number, image in enumerate(followed(images, "check", reporter, "image", STOPPED), 1):
        try:
            see_through = check_picture(image.path)
            if image.alpha is not None:
                _require_size(read_grey(image.alpha).shape, image.lens, "alpha")
                see_through = True
            if image.mask is not None:
                read_grey(image.mask)
            broken = 0 if image.depth is None else int((~np.isfinite(read_depth(image.depth))).sum())
        except Unsound as error:
            problems.leave_out(image.name, str(error))
            continue
        except MemoryError as error:
            raise UserError(
                f"{image.name}: not enough memory to read it; use smaller images (image {number} of {len(images)})"
            ) from error
        if broken:
            problems.add(image.name, f"{broken} pixels of its depth are not finite; their depth counts as unknown")
        transparent |= see_through
        sound.append(image)
    return sound, transparent


def _header(
    source: Path,
    kind: str,
    found: PosedImages,
    splits: dict[str, list[int]],
    transparent: bool,
    background: tuple[float, float, float] | None,
    problems: Problems,
    reporter: Reporter,
) -> DatasetHeader:
    images, bounds = found.images, found.bounds
    if bounds is None:
        bounds, certain = bounds_from_cameras(images)
        if not certain:
            reporter.log("Note: the cameras do not look at one place; how large the scene is has been guessed.")
    lenses = [image.lens for image in images]
    folder = (source if source.is_dir() else source.parent).resolve()
    return DatasetHeader(
        camera_to_world=np.array([image.camera_to_world for image in images]),
        intrinsics=np.array([[lens.fx, lens.fy, lens.cx, lens.cy] for lens in lenses]),
        size=np.array([[lens.width, lens.height] for lens in lenses], np.int32),
        frame=np.arange(len(images), dtype=np.int32),
        splits=splits,
        world_from_field=world_from_field_of_bounds(bounds),
        bounds=bounds,
        film="transparent" if transparent else "world",
        view_transform=standard_view_transform(),
        background=background or found.background or (0.0, 0.0, 0.0),
        configuration={
            "import": {
                "format": kind,
                "notes": found.notes,
                "problems": list(problems.lines),
                "images": [image.name for image in images],
            }
        },
        scene_name=folder.name,
    )


def _views(
    images: list[PosedImage], transparent: bool, distance_depth: bool, reporter: Reporter
) -> Iterator[ViewPixels]:
    with_depth = any(image.depth for image in images)
    with_valid = any(image.mask or not image.lens.is_pinhole for image in images)
    for image in followed(images, "import", reporter, "image", STOPPED):
        try:
            yield view_pixels(image, transparent, distance_depth, with_depth, with_valid)
        except Unsound as error:
            # it was sound a moment ago
            raise UserError(f"{image.name}: {error}; the file changed while it was imported, try again") from error


def view_pixels(
    image: PosedImage,
    transparent: bool,
    distance_depth: bool,
    with_depth: bool,
    with_valid: bool,
) -> ViewPixels:
    """Read one image with its mask and depth, free of distortion.

    Raises:
        Unsound: something cannot be read.
    """
    lens = image.lens
    rgba = read_picture(image.path)
    _require_size(rgba.shape, lens, "picture")
    if image.alpha is not None:
        rgba = _with_opacity(rgba, read_grey(image.alpha))
    valid = np.ones(rgba.shape[:2], np.bool_)
    if image.mask is not None:
        mask = _fitted(read_grey(image.mask), lens)
        # dynamic masks mark with any colour at all, the others with white
        valid = mask <= 0.0 if image.mask_is_black else mask > 0.0
    depth = None if image.depth is None else _fitted(read_depth(image.depth).astype(np.float32), lens)
    if not lens.is_pinhole:
        rgba = undistorted(rgba, lens)
        seen = undistortion(lens)[2]
        valid = seen & (undistorted(valid.astype(np.float32), lens, nearest=True) > 0.5)
        if depth is not None:
            depth = undistorted(depth, lens, nearest=True)
    if not transparent:
        rgba[..., 3] = 1.0
    known = np.zeros(rgba.shape[:2], np.bool_)
    if depth is not None:
        known = np.isfinite(depth) & (depth > 0.0)
        depth = np.where(known, depth, 0.0) * image.depth_unit
        if distance_depth:
            depth = depth / distance_over_depth(
                (lens.fx, lens.fy, lens.cx, lens.cy), pixel_grid(lens.width, lens.height)
            )
    lacking = bool((~known & valid & (rgba[..., 3] > OPAQUE)).any())
    return ViewPixels(
        rgba=rgba,
        depth=_depth_or_nothing(depth, lens) if with_depth else None,
        valid=valid if with_valid else None,
        depth_complete=not (with_depth and lacking),
    )


def _depth_or_nothing(depth: NDArray[Any] | None, lens: Lens) -> NDArray[np.float32]:
    return np.zeros((lens.height, lens.width), np.float32) if depth is None else depth.astype(np.float32)


def _with_opacity(rgba: NDArray[np.float32], opacity: NDArray[np.float32]) -> NDArray[np.float32]:
    """The picture with another opacity."""
    straight = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-6)
    return np.concatenate([straight * opacity[..., None], opacity[..., None]], axis=-1)


def _require_size(shape: tuple[int, ...], lens: Lens, what: str) -> None:
    if shape[:2] != (lens.height, lens.width):
        raise Unsound(f"its {what} is {shape[1]} x {shape[0]}, not {lens.width} x {lens.height}")


def _fitted(image: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
    """A mask or depth of another resolution, by the nearest pixel."""
    if image.shape == (lens.height, lens.width):
        return image
    return np.asarray(cv2.resize(image, (lens.width, lens.height), interpolation=cv2.INTER_NEAREST))


def _first(problems: Problems) -> str:
    return problems.lines[0] if problems.lines else "it lists none"
