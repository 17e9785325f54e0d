# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark set in NeRF-Synthetic's layout, from any scene: `python tests/bench/make_set.py SCENE.blend FOLDER`.

The layout of Mildenhall et al. 2020 ("NeRF", the Blender set): transforms_{train,val,test}.json with camera_angle_x and
camera-to-world matrices (OpenGL axes), 8-bit sRGB PNG with straight alpha, cameras on the upper hemisphere. Beside the
folder's pictures stands `blind.h5`: the same 8-bit colours as a dataset without depth, normals or indices, on white.
"""

from __future__ import annotations

import argparse
import json
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
runpy.run_path(str(ROOT / "core" / "bootstrap.py"))["register"](ROOT)

from radiance_twin.core.arguments import resolution  # noqa: E402
from radiance_twin.core.colour import linear_to_srgb, srgb_to_linear, standard_view_transform  # noqa: E402
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels  # noqa: E402
from radiance_twin.core.dataset.store import Dataset, open_dataset  # noqa: E402
from radiance_twin.core.dataset.writing import write_dataset  # noqa: E402
from radiance_twin.core.rendering.covers import SPLITS  # noqa: E402
from radiance_twin.core.rendering.render import RenderSettings, render_dataset  # noqa: E402
from radiance_twin.core.reporting import QuietReporter  # noqa: E402


def straight_srgb(rgba: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Premultiplied scene-linear [H, W, 4] as a PNG holds it: sRGB, straight alpha, 8 bits."""
    colour = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-6)
    pixels = np.concatenate([linear_to_srgb(np.clip(colour, 0.0, 1.0)), np.clip(rgba[..., 3:], 0.0, 1.0)], axis=-1)
    image: NDArray[np.uint8] = np.rint(pixels * 255.0).astype(np.uint8)
    return image


def premultiplied(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The inverse of `straight_srgb`."""
    pixels = image.astype(np.float32) / np.float32(255.0)
    linear = np.asarray(srgb_to_linear(pixels[..., :3]), np.float32)
    return np.concatenate([linear * pixels[..., 3:], pixels[..., 3:]], axis=-1)


def write_layout(dataset: Dataset, folder: Path) -> None:
    """The dataset's views as FOLDER/{train,val,test}/r_N.png with their transforms."""
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
        frames = []
        for number, index in enumerate(dataset.splits[split]):
            Image.fromarray(straight_srgb(dataset.rgba(int(index))), "RGBA").save(folder / split / f"r_{number}.png")
            matrix = dataset.camera_to_world[index].tolist()
            frames.append({"file_path": f"./{split}/r_{number}", "rotation": 0.0, "transform_matrix": matrix})
        angle = 2.0 * np.arctan(0.5 * dataset.size[0, 0] / dataset.intrinsics[0, 0])
        text = json.dumps({"camera_angle_x": float(angle), "frames": frames}, indent=1)
        (folder / f"transforms_{split}.json").write_text(text + "\n", encoding="utf-8")


def write_blind(dataset: Dataset, path: Path) -> None:
    """The same 8-bit colours, and nothing else that the renderer knows, as a dataset on white."""
    header = DatasetHeader(
        camera_to_world=dataset.camera_to_world,
        intrinsics=dataset.intrinsics,
        size=dataset.size,
        frame=dataset.frame,
        splits={split: dataset.splits[split].tolist() for split in SPLITS},
        world_from_field=dataset.world_from_field,
        bounds=dataset.bounds,
        film="transparent",
        view_transform=standard_view_transform(),
        background=(1.0, 1.0, 1.0),
        scene_name=dataset.scene_name,
    )

    def views() -> Iterator[ViewPixels]:
        for index in range(dataset.count):
            yield ViewPixels(premultiplied(straight_srgb(dataset.rgba(index))))

    write_dataset(path, header, views())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", metavar="SCENE.blend", help="or an .h5 that was rendered before")
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--views", type=int, default=100)
    parser.add_argument("--val-views", type=int, default=8)
    parser.add_argument("--test-views", type=int, default=12)
    parser.add_argument("--resolution", type=resolution, default=(400, 400))
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--reference-samples", type=int, default=64)
    given = parser.parse_args()
    folder = Path(given.folder)
    folder.mkdir(parents=True, exist_ok=True)
    rendered = Path(given.scene)
    if rendered.suffix != ".h5":
        rendered = folder / "rendered.h5"
        settings = RenderSettings(scene=given.scene, output=rendered)
        names = ("views", "val_views", "test_views", "resolution", "samples", "reference_samples")
        render_dataset(replace(settings, **{name: getattr(given, name) for name in names}), QuietReporter())
    with open_dataset(rendered) as dataset:
        write_layout(dataset, folder)
        write_blind(dataset, folder / "blind.h5")
    print(f"{folder}: transforms_*.json with their pictures, and blind.h5")


if __name__ == "__main__":
    main()
