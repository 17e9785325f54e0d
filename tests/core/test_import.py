# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people's datasets: every format is read back as it was written, whatever its conventions."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from radiance_twin.core.cameras import project
from radiance_twin.core.colour import linear_to_srgb
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.errors import Cancelled, UsageError
from radiance_twin.core.importing import ImportSettings, choose_splits, detect_format, import_dataset
from radiance_twin.core.reporting import QuietReporter

FOREIGN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("foreign_datasets.py"))))
ANGLE = 0.7


def imported(source: Path, tmp_path: Path, **settings: Any) -> Dataset:
    output = tmp_path / "imported.h5"
    import_dataset(ImportSettings(str(source), str(output), **settings), QuietReporter())
    return open_dataset(output)


def straight_srgb(rgba: np.ndarray) -> np.ndarray:
    """The PNG that a view was: [H, W, 4] uint8."""
    colour = linear_to_srgb(rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-6))
    return np.rint(np.concatenate([colour, rgba[..., 3:]], axis=-1) * 255).astype(np.uint8)


def test_nerf_synthetic(tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "lego", angle=ANGLE)
    with imported(source, tmp_path) as dataset:
        assert {name: len(indices) for name, indices in dataset.splits.items()} == {"train": 6, "val": 2, "test": 3}
        assert dataset.film == "transparent" and dataset.background.tolist() == [1.0, 1.0, 1.0]
        assert dataset.scene_name == "lego" and dataset.passes == ["rgba"] and not dataset.has_depth
        assert dataset.view_transform.view == "Standard"
        np.testing.assert_array_equal(dataset.bounds, [[-1.5] * 3, [1.5] * 3])
        # the field's cube holds the benchmark's box and keeps the world's axes
        np.testing.assert_allclose(dataset.world_from_field, np.diag([3.06] * 3 + [1]) - _shift(1.53))
        focal = 0.5 * FOREIGN.WIDTH / np.tan(0.5 * ANGLE)
        for index, matrix in enumerate(FOREIGN.poses(11, 4.031)):
            np.testing.assert_allclose(dataset.camera_to_world[index], matrix, atol=1e-9)
            np.testing.assert_allclose(dataset.intrinsics[index], [focal, focal, 20, 15])
            given, kept = FOREIGN.picture(index), straight_srgb(dataset.rgba(index))
            np.testing.assert_array_equal(kept[..., 3], given[..., 3])
            # colour behind nothing at all is lost, all other is exactly the PNG's
            shown = given[..., 3] > 0
            np.testing.assert_array_equal(kept[shown], given[shown])
            assert (dataset.rgba(index)[~shown] == 0.0).all()


def _shift(by: float) -> np.ndarray:
    shift = np.zeros((4, 4))
    shift[:3, 3] = by
    return shift


def test_a_nerf_set_with_train_alone_is_split(tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "set", {"train": 20})
    with imported(source / "transforms_train.json", tmp_path) as dataset:
        assert dataset.splits["test"].tolist() == [0, 8, 16]
        assert len(dataset.splits["val"]) == 2 and len(dataset.splits["train"]) == 15


def test_cameras_elsewhere_get_bounds_from_where_they_look(tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "set", radius=10.0)
    with imported(source, tmp_path) as dataset:
        middle, half = dataset.bounds.mean(axis=0), (dataset.bounds[1] - dataset.bounds[0]) / 2
        np.testing.assert_allclose(middle, 0.0, atol=1e-6)
        # what the cameras see at the distance of the place they look at
        np.testing.assert_allclose(half, 10.0 * np.tan(0.5 * ANGLE), rtol=1e-6)


def test_instant_ngp(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", aabb_scale=2, scale=0.5, offset=[0.5, 0.5, 1.0])
    frames: list[dict[str, Any]] = []
    FOREIGN.change_json(path, lambda data: frames.extend(data["frames"]))
    FOREIGN.save(path.parent / "images" / "dynamic_mask_001.png", np.full((30, 40), 0, np.uint8))
    mask = np.zeros((30, 40, 3), np.uint8)
    mask[:5, :, 1] = 200
    FOREIGN.save(path.parent / "images" / "dynamic_mask_002.png", mask)
    with imported(path, tmp_path) as dataset:
        assert dataset.configuration["import"]["format"] == "ngp" and dataset.film == "world"
        # a cube of aabb_scale, around where the middle of instant-ngp's unit cube is in the world
        np.testing.assert_allclose(dataset.bounds, [[-2, -2, -3], [2, 2, 1]])
        np.testing.assert_allclose(dataset.intrinsics[3], [45, 47, 20.5, 14.25])
        assert dataset.passes == ["rgba", "valid"]
        assert dataset.valid(1).all() and dataset.valid(0).all()
        assert not dataset.valid(2)[:5].any() and dataset.valid(2)[5:].all()
        assert dataset.splits["test"].tolist() == [0, 8]


def test_instant_ngp_with_an_angle_depth_and_alpha_and_without_endings(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", aabb_scale=1, integer_depth_scale=0.5)

    def change(data: dict[str, Any]) -> None:
        for name in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            del data[name]
        data["x_fov"] = 50.0
        for position, frame in enumerate(data["frames"]):
            frame["file_path"] = f".\\images\\{position:03d}"
            frame["depth_path"] = f"images/depth_{position:03d}.png"

    FOREIGN.change_json(path, change)
    for position in range(10):
        FOREIGN.save(path.parent / "images" / f"depth_{position:03d}.png", np.full((30, 40), 7, np.uint16))
    opacity = np.full((30, 40), 255, np.uint8)
    opacity[:, :3] = 0
    FOREIGN.save(path.parent / "images" / "004.alpha.png", opacity)
    with imported(path.parent, tmp_path) as dataset:
        focal = 20 / np.tan(np.radians(25))
        np.testing.assert_allclose(dataset.intrinsics[0], [focal, focal, 20, 15])
        assert (dataset.depth(5) == 3.5).all() and dataset.depth_complete
        assert dataset.film == "transparent"
        assert (dataset.rgba(4)[:, :3] == 0.0).all() and (dataset.rgba(4)[:, 3:, 3] == 1.0).all()
        assert (dataset.rgba(3)[..., 3] == 1.0).all()


def test_nerfstudio(tmp_path: Path) -> None:
    applied = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]]
    path = FOREIGN.write_transforms(tmp_path / "set", alpha=False, applied_transform=applied, camera_model="OPENCV")

    def change(data: dict[str, Any]) -> None:
        names = [frame["file_path"] for frame in data["frames"]]
        # nerfstudio takes both for the same file
        data.update(train_filenames=names[:7], val_filenames=[f"./{names[7]}"], test_filenames=names[8:])
        data["orientation_override"] = "none"
        for position, frame in enumerate(data["frames"]):
            frame["mask_path"] = f"masks/{position}.png"
            frame["depth_file_path"] = f"depth/{position}.png" if position % 2 else f"depth/{position}.npy"
        data["frames"][4].update(fl_x=99.0, cx=19.0)

    FOREIGN.change_json(path, change)
    for position in range(10):
        mask = np.full((30, 40), 255, np.uint8)
        mask[10:20, 5:10] = 0
        FOREIGN.save(path.parent / "masks" / f"{position}.png", mask)
        depth = np.full((15, 20), 2500, np.uint16)  # half the resolution is allowed
        depth[0, 0] = 0
        (path.parent / "depth").mkdir(exist_ok=True)
        if position % 2:
            FOREIGN.save(path.parent / "depth" / f"{position}.png", depth)
        else:
            np.save(path.parent / "depth" / f"{position}.npy", depth.astype(np.float32))
    with imported(path, tmp_path) as dataset:
        assert dataset.configuration["import"]["format"] == "nerfstudio"
        notes = dataset.configuration["import"]["notes"]
        assert notes == {"applied_transform": applied, "orientation_override": "none"}
        assert [len(dataset.splits[name]) for name in ("train", "val", "test")] == [7, 1, 2]
        # the file's own poses are the world, neither turned nor scaled
        np.testing.assert_allclose(dataset.camera_to_world, FOREIGN.poses(10), atol=1e-9)
        np.testing.assert_allclose(dataset.intrinsics[4], [99, 47, 19, 14.25])
        for index in (2, 3):
            depth, valid = dataset.depth(index), dataset.valid(index)
            assert (depth[:2, :2] == 0).all() and np.allclose(depth[2:, 2:], 2.5)
            assert not valid[10:20, 5:10].any() and valid.sum() == 1200 - 50
        assert not dataset.depth_complete, "0 means unknown in this format"


def test_distances_become_planar_depth(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", count=1, camera_model="PINHOLE", depth_unit_scale_factor=1.0)
    FOREIGN.change_json(path, lambda data: data["frames"][0].update(depth_file_path="depth.npy"))
    u, v = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    distance = 4.0 * np.sqrt(1 + ((u - 20.5) / 45) ** 2 + ((v - 14.25) / 47) ** 2)  # of a wall 4 in front
    np.save(path.parent / "depth.npy", distance)
    with imported(path, tmp_path, distance_depth=True) as dataset:
        np.testing.assert_allclose(dataset.depth(0), 4.0, rtol=1e-6)
        assert dataset.depth_complete


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_colmap(binary: bool, tmp_path: Path) -> None:
    write = FOREIGN.write_colmap_binary if binary else FOREIGN.write_colmap_text
    source = write(tmp_path / "set", "PINHOLE", (45.0, 47.0, 20.5, 14.25))
    assert {path.suffix for path in (source / "sparse/0").iterdir()} == {".bin" if binary else ".txt"}
    with imported(source, tmp_path) as dataset:
        assert dataset.configuration["import"]["format"] == "colmap" and dataset.count == 10
        assert dataset.configuration["import"]["images"][3] == "part_a/003.png"
        np.testing.assert_allclose(dataset.camera_to_world, FOREIGN.poses(10), atol=1e-9)
        for index, matrix in enumerate(FOREIGN.poses(10)):
            # COLMAP's formula: K (R X + t)
            w2c = FOREIGN.world_to_camera(matrix)
            local = FOREIGN.points() @ w2c[:3, :3].T + w2c[:3, 3]
            expected = local[:, :2] / local[:, 2:] * [45, 47] + [20.5, 14.25]
            pixels, depth = project(FOREIGN.points(), dataset.camera_to_world[index], dataset.intrinsics[index])
            assert np.abs(pixels - expected).max() < 0.05
            np.testing.assert_allclose(depth, local[:, 2])
        # around the points, without the one that lies far off
        assert np.abs(dataset.bounds).max() < 0.6
        assert (dataset.bounds[0] < -0.38).all() and (dataset.bounds[1] > 0.38).all()


def test_smaller_copies_of_colmap_images(tmp_path: Path) -> None:
    source = FOREIGN.write_colmap_text(tmp_path / "set", "SIMPLE_PINHOLE", (50.0, 20.0, 15.0))
    for position in range(10):
        FOREIGN.save(source / "images_2" / "part_a" / f"{position:03d}.png", FOREIGN.picture(position, 20, 15, False))
    with imported(source, tmp_path, images=str(source / "images_2")) as dataset:
        np.testing.assert_allclose(dataset.intrinsics, [[25.0, 25.0, 10.0, 7.5]] * 10)
        assert dataset.size.tolist() == [[20, 15]] * 10


def test_splits_without_a_word_of_the_format() -> None:
    splits = choose_splits([None] * 100)
    assert splits["test"] == list(range(0, 100, 8)) and len(splits["val"]) == 4
    together = sorted(splits["train"] + splits["val"] + splits["test"])
    assert together == list(range(100))
    assert choose_splits(["train"] * 3 + ["val"] + ["test"] * 2) == {"train": [0, 1, 2], "val": [3], "test": [4, 5]}
    assert choose_splits(["train"] * 4 + ["val"]) == {"train": [1, 2, 3], "val": [4], "test": [0]}
    assert choose_splits([None] * 3) == {"train": [0, 1, 2], "val": [], "test": []}


def test_formats_are_told_apart(tmp_path: Path) -> None:
    assert detect_format(FOREIGN.write_nerf(tmp_path / "a")) == "nerf"
    assert detect_format(FOREIGN.write_transforms(tmp_path / "b", aabb_scale=4)) == "ngp"
    assert detect_format(FOREIGN.write_transforms(tmp_path / "c", camera_model="OPENCV").parent) == "nerfstudio"
    assert detect_format(FOREIGN.write_colmap_text(tmp_path / "d", "SIMPLE_PINHOLE", (50.0, 20.0, 15.0))) == "colmap"


def test_the_same_import_twice_is_the_same(tmp_path: Path) -> None:
    from radiance_twin.core.dataset.digest import dataset_digest

    source = FOREIGN.write_nerf(tmp_path / "set")
    digests = set()
    for name in ("one.h5", "two.h5"):
        import_dataset(ImportSettings(str(source), str(tmp_path / name)), QuietReporter())
        digests.add(dataset_digest(tmp_path / name))
    assert len(digests) == 1


@pytest.mark.parametrize(
    "settings",
    [{"format": "obj"}, {"output": "x.hdf"}, {"background": "blue-ish"}, {"background": "1,2,3"}],
    ids=str,
)
def test_settings_that_make_no_sense(settings: dict[str, str], tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "set")
    words = {"source": str(source), "output": str(tmp_path / "x.h5"), **settings}
    with pytest.raises(UsageError):
        import_dataset(ImportSettings(**words), QuietReporter())


def test_background_and_cancel(tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "set")
    with imported(source, tmp_path, background="0,0.5,1") as dataset:
        np.testing.assert_allclose(dataset.background, [0.0, 0.21404, 1.0], atol=1e-4)
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled):
        import_dataset(ImportSettings(str(source), str(tmp_path / "new.h5")), reporter)
    assert not (tmp_path / "new.h5").exists()
