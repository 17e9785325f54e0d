# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bake loses of its field: `python tests/bench/bake_loss.py DATASET.h5 TWIN.twin`; see README.md."""

from __future__ import annotations

import argparse
import functools
import runpy
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent.parent
runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.core.bake.bricks import Bricks, from_arrays, metadata_of, to_arrays  # noqa: E402
from radiance_twin.core.bake.make import bake_bricks  # noqa: E402
from radiance_twin.core.bake.picture import bake_over_background  # noqa: E402
from radiance_twin.core.cameras import Camera  # noqa: E402
from radiance_twin.core.comparison.metrics import FOREGROUND_ALPHA, Image, display_image, psnr  # noqa: E402
from radiance_twin.core.dataset.store import Dataset, open_dataset  # noqa: E402
from radiance_twin.core.field.cpu import thread_pool  # noqa: E402
from radiance_twin.core.field.render import TrainedField, load_field, render_view  # noqa: E402
from radiance_twin.core.presets import BAKES  # noqa: E402
from radiance_twin.core.reporting import TerminalReporter  # noqa: E402
from radiance_twin.core.training.recipe import Recipe  # noqa: E402
from radiance_twin.core.training.run import prepare  # noqa: E402
from radiance_twin.core.twin_file import read_twin, write_twin  # noqa: E402

# 10³ voxels of a brick with its borders: 8 bytes of light in each, and a byte for each feature
VOXELS_PER_BRICK = 1000
BYTES_OF_LIGHT = 8
COLUMNS = (
    "bake",
    "voxels",
    "bricks",
    "features",
    "steps",
    "processor s",
    "field",
    "bake's PSNR",
    "lost",
    "lost in the foreground",
    "bake against field",
    "MB on disk",
    "MB on the GPU",
)

Draw = Callable[[Camera], NDArray[np.float32]]


@dataclass(frozen=True)
class Views:
    """The test views as a screen shows them [H, W, 3] uint8, and where there is something [H, W]."""

    truth: list[Image]
    solid: list[NDArray[np.bool_]]

    def mean_psnr(self, images: list[Image], others: list[Image], foreground: bool = False) -> float:
        """Of images and others in the mean, dB; 99 stands for no difference."""
        pairs = zip(images, others, self.solid, strict=True)
        return float(np.mean([psnr(a[s], b[s]) or 99.0 if foreground else psnr(a, b) or 99.0 for a, b, s in pairs]))


def shown(dataset: Dataset, draw: Draw) -> list[Image]:
    """The test views, drawn."""
    cameras = [dataset.camera(int(index)) for index in dataset.splits["test"]]
    return [display_image(draw(camera), dataset.background, dataset.view_transform) for camera in cameras]


def test_views(dataset: Dataset) -> Views:
    classic = [dataset.rgba(int(index)) for index in dataset.splits["test"]]
    truth = [display_image(rgba, dataset.background, dataset.view_transform) for rgba in classic]
    return Views(truth, [rgba[..., 3] > FOREGROUND_ALPHA for rgba in classic])


def stored(bricks: Bricks) -> tuple[Bricks, float]:
    """What a file would hold of them, and how large it is, MB."""
    arrays = to_arrays(bricks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bake.twin"
        write_twin(path, {}, arrays)
        return from_arrays(arrays, {"bake": metadata_of(bricks)}), path.stat().st_size / 1e6


def rows(dataset: Dataset, field: TrainedField, given: argparse.Namespace, pool: ThreadPoolExecutor) -> None:
    """Bake, measure and print, one size after another."""
    run = prepare(dataset, torch.device("cpu"), given.seed, pool, Recipe(), start=field)
    views = test_views(dataset)
    neural = shown(dataset, lambda camera: render_view(field, camera)[0])
    whole, foreground = (views.mean_psnr(views.truth, neural, part) for part in (False, True))
    print(f"| {' | '.join(COLUMNS)} |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    for size in given.bakes:
        began = time.process_time()

        with TerminalReporter() as reporter:
            told = functools.partial(reporter.progress, size)
            bricks = bake_bricks(field, run.pixels, run.chosen, pool, size, given.steps, seed=given.seed, told=told)
        seconds = time.process_time() - began
        held, megabytes = stored(bricks)
        baked = shown(dataset, lambda camera, held=held: bake_over_background(held, field, camera, pool))
        own, own_foreground = (views.mean_psnr(views.truth, baked, part) for part in (False, True))
        quality = [whole, own, whole - own, foreground - own_foreground, views.mean_psnr(neural, baked)]
        features = bricks.features.shape[-1]
        cells = [size, f"{bricks.resolution}³", str(bricks.count), str(features), str(given.steps), f"{seconds:.0f}"]
        cells += [f"{value:.2f}" for value in quality]
        cells += [f"{megabytes:.1f}", f"{bricks.count * VOXELS_PER_BRICK * (BYTES_OF_LIGHT + features) / 1e6:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", metavar="DATASET.h5", help="that the twin was trained on")
    parser.add_argument("twin", metavar="TWIN.twin")
    parser.add_argument("--bakes", nargs="+", choices=BAKES, default=list(BAKES))
    parser.add_argument("--steps", type=int, default=Recipe().bake_steps, help="of fitting (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (%(default)s)")
    given = parser.parse_args()
    field = load_field(read_twin(given.twin), "cpu")
    with open_dataset(given.dataset) as dataset, thread_pool() as pool:
        rows(dataset, field, given, pool)


if __name__ == "__main__":
    main()
