# SPDX-License-Identifier: GPL-3.0-or-later
"""NeRF-Synthetic's own protocol: what is measured is what anybody measures from the PNG files themselves."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from radiance_twin.core.cameras import Camera
from radiance_twin.core.comparison.benchmark import nerf_synthetic_image
from radiance_twin.core.comparison.compare import CompareSettings, compare
from radiance_twin.core.comparison.metrics import image_metrics
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UsageError
from radiance_twin.core.field.model import FieldConfig, RadianceField, config_metadata, field_arrays
from radiance_twin.core.field.occupancy import occupancy_bits
from radiance_twin.core.field.render import load_field, render_view
from radiance_twin.core.importing import ImportSettings, import_dataset
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.twin_file import read_twin, write_twin

FOREIGN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("foreign_datasets.py"))))


def write_fog(path: Path, world_from_field: np.ndarray) -> None:
    """A twin of coloured fog, half transparent."""
    config = FieldConfig(
        levels=2, base_resolution=4, finest_resolution=8, log2_table_size=10, hidden=16, density_shift=-0.5
    )
    field = RadianceField(config, seed=4)
    with torch.no_grad():
        field.table.mul_(1e4)
        field.colour[-1].sub_(0.1)
    metadata = {
        "world_from_field": world_from_field.tolist(),
        "model": config_metadata(config),
        "march": {"step": 1.0 / 32.0, "occupancy_resolution": 8},
    }
    write_twin(path, metadata, {**field_arrays(field), **occupancy_bits(np.ones((8, 8, 8), bool))})


def on_white(straight_srgb: np.ndarray) -> np.ndarray:
    """[H, W, 4] of 0..1 as in a PNG, to 8 bits on white: what NerfBaselines' `image_to_srgb` does."""
    alpha = straight_srgb[..., 3:]
    return np.clip((straight_srgb[..., :3] * alpha + (1 - alpha)) * 255, 0, 255).astype(np.uint8)


def srgb(linear: np.ndarray) -> np.ndarray:
    x = np.clip(linear.astype(np.float64), 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. (2004) from its formula, with a filter of another library, over whole windows only."""
    x, y = a / 255.0, b / 255.0

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (11, 11), 1.5)[5:-5, 5:-5]

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    top, bottom = (2 * mx * my + 1e-4) * (2 * cov + 9e-4), (mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)
    return float((top / bottom).mean())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    FOREIGN.write_nerf(folder / "set")
    import_dataset(ImportSettings(str(folder / "set"), str(folder / "set.h5")), QuietReporter())
    with open_dataset(folder / "set.h5") as dataset:
        write_fog(folder / "set.twin", dataset.world_from_field)
    return folder


def test_the_truth_is_the_png_to_the_last_bit(folder: Path) -> None:
    with open_dataset(folder / "set.h5") as dataset:
        for number, index in enumerate(dataset.splits["test"]):
            png = np.asarray(Image.open(folder / "set" / "test" / f"r_{number}.png")) / 255.0
            np.testing.assert_array_equal(nerf_synthetic_image(dataset.rgba(int(index))), on_white(png))


def test_figures_are_those_of_the_png_files(folder: Path) -> None:
    settings = CompareSettings(
        str(folder / "set.h5"), str(folder / "set.twin"), str(folder / "report"), "cpu", "nerf-synthetic"
    )
    metrics = compare(settings, QuietReporter())
    cameras = json.loads((folder / "set" / "transforms_test.json").read_text())
    focal = 0.5 * FOREIGN.WIDTH / np.tan(0.5 * cameras["camera_angle_x"])
    field = load_field(read_twin(folder / "set.twin"), "cpu")
    expected = []
    for frame in cameras["frames"]:
        truth = np.asarray(Image.open(folder / "set" / f"{frame['file_path']}.png")) / 255.0
        camera = Camera(np.array(frame["transform_matrix"]), np.array([focal, focal, 20, 15]), (40, 30))
        seen, _ = render_view(field, camera)
        alpha = seen[..., 3:].astype(np.float64)
        assert 0.05 < alpha.mean() < 0.95, "a fog that is neither there nor not would test nothing"
        straight = np.concatenate([srgb(seen[..., :3] / np.maximum(alpha, 1e-9)), alpha], axis=-1)
        a, b = on_white(truth), on_white(straight)
        error = ((a.astype(float) - b.astype(float)) ** 2).mean()
        expected.append((10 * np.log10(255**2 / error), ssim(a, b)))
    assert metrics["protocol"] == "nerf-synthetic" and metrics["background"] == [1.0, 1.0, 1.0]
    assert [view["psnr"] for view in metrics["views"]] == pytest.approx([one for one, _ in expected], abs=0.02)
    assert metrics["mean"]["psnr"] == pytest.approx(np.mean([one for one, _ in expected]), abs=0.02)
    assert metrics["mean"]["ssim"] == pytest.approx(np.mean([two for _, two in expected]), abs=1e-3)
    page = (folder / "report" / "index.html").read_text()
    assert '"protocol": "nerf-synthetic"' in page and "measured as NeRF-Synthetic does" in page
    assert json.loads((folder / "report" / "metrics.json").read_text())["protocol"] == "nerf-synthetic"


def test_the_house_measures_in_its_own_way_unless_asked(folder: Path) -> None:
    settings = CompareSettings(str(folder / "set.h5"), str(folder / "set.twin"), str(folder / "own"), "cpu")
    metrics = compare(settings, QuietReporter())
    assert metrics["protocol"] == "radiance-twin" and metrics["dataset"]["scene"] == "set"
    with pytest.raises(UsageError):
        compare(CompareSettings("a.h5", "a.twin", str(folder / "no"), "cpu", "tanks"), QuietReporter())


def test_pixels_that_are_not_valid_are_not_measured() -> None:
    random = np.random.default_rng(0)
    classic = random.integers(0, 255, (24, 32, 3)).astype(np.uint8)
    neural = classic.copy()
    neural[:8] = 255 - neural[:8]
    neural[20, 20] ^= 16
    valid = np.ones((24, 32), bool)
    valid[:8] = False
    alone = image_metrics(classic[8:], neural[8:], np.ones((16, 32)))
    masked = image_metrics(classic, neural, np.ones((24, 32)), valid)
    assert masked.psnr == pytest.approx(alone.psnr) and masked.psnr_foreground == pytest.approx(alone.psnr)
    assert masked.foreground == 1.0 and masked.flip_map[:4].max() == 0.0
