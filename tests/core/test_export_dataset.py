# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset written in other programs' formats, read by those programs' own libraries or by their rules in numpy.

A ball and a slab at known places, seen by cameras with shifted lenses and pixels that are not square.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import OpenEXR
import pycolmap
import pytest
import trimesh
import webdataset
from PIL import Image
from pxr import Usd, UsdGeom

from radiance_twin.core.arguments import DATASET_EXPORTS
from radiance_twin.core.cli import main
from radiance_twin.core.colour import linear_to_srgb
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.export import dataset as stage
from radiance_twin.core.export.dataset import DatasetExportSettings, export_dataset
from radiance_twin.core.export.read_back import require_same_cameras
from radiance_twin.core.export.read_labels import LABELS
from radiance_twin.core.lenses import CameraModel
from radiance_twin.core.reporting import QuietReporter

from .analytic_scene import BOUNDS, CENTRE, RADIUS
from .labelled_dataset import CENTRED, CUBE, HEIGHT, POSES, SHIFTED, WIDTH, exported, write


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shifted") / "scene.h5", SHIFTED)


@pytest.fixture(scope="module")
def centred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("centred") / "scene.h5", CENTRED)


def marks(dataset: Dataset, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on the ball in the world, their pixels in a view as Blender sees them, and their planar depth."""
    random = np.random.default_rng(index).normal(size=(50, 3))
    points = CENTRE + RADIUS * random / np.linalg.norm(random, axis=1, keepdims=True)
    return points, *dataset.camera(index).project(points)


def expected_png(rgba: np.ndarray) -> np.ndarray:
    """Straight alpha, sRGB: what trainers that undo sRGB expect."""
    straight = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-6)
    return np.rint(np.concatenate([linear_to_srgb(np.clip(straight, 0, 1)), rgba[..., 3:]], axis=-1) * 255)


def test_every_format_reads_back_to_where_it_came_from(centred: Path, tmp_path: Path) -> None:
    for format in DATASET_EXPORTS:
        result = exported(centred, tmp_path / format, format, points=600)
        assert result["views"] == 9
        least = 1e-4 if format in ("usd", "kitti") else 1e-9
        assert result["worst_error"] is None if format in LABELS else result["worst_error"] < least
        assert result["bytes"] > 1000


def test_nerf_synthetic_by_the_rules_of_the_original_loader(centred: Path, tmp_path: Path) -> None:
    exported(centred, tmp_path / "nerf", "nerf")
    with open_dataset(centred) as dataset:
        for split, indices in dataset.splits.items():
            words = json.loads((tmp_path / "nerf" / f"transforms_{split}.json").read_text())
            assert len(words["frames"]) == len(indices)
            for index, frame in zip(indices, words["frames"], strict=True):
                image = np.asarray(Image.open(tmp_path / "nerf" / f"{frame['file_path']}.png"))
                assert np.abs(image - expected_png(dataset.rgba(index))).max() <= 1
                focal = 0.5 * image.shape[1] / np.tan(0.5 * words["camera_angle_x"])
                points, pixels, _ = marks(dataset, index)
                matrix = np.array(frame["transform_matrix"])
                local = (points - matrix[:3, 3]) @ matrix[:3, :3]
                found = np.stack([WIDTH / 2 - focal * local[:, 0] / local[:, 2]], axis=1)
                assert np.abs(found[:, 0] - pixels[:, 0]).max() < 1e-6


def test_all_pictures_of_a_dataset_have_as_many_channels(tmp_path: Path) -> None:
    source = write(tmp_path / "scene.h5", CENTRED)
    with h5py.File(source, "r+") as file:
        file["views/rgba"][4, ..., 3] = 1.0  # of a transparent film, one view that shows nothing of it
    for format in ("nerf", "nerfstudio", "ngp", "colmap", "usd", "folder", "kubric"):
        exported(source, tmp_path / format, format)
        pictures = [*(tmp_path / format).rglob("r_*.png"), *(tmp_path / format).rglob("[ir]*/00*.png")]
        pictures += (tmp_path / format).rglob("rgba_*.png")
        assert len(pictures) == 9 and {Image.open(path).mode for path in pictures} == {"RGBA"}
    exported(source, tmp_path / "hdf5", "hdf5")
    assert {h5py.File(path)["colors"].shape for path in (tmp_path / "hdf5").rglob("*.hdf5")} == {(HEIGHT, WIDTH, 4)}


def test_nerf_synthetic_refuses_what_it_cannot_say(shifted: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pixels are not square.*choose --format ngp or nerfstudio"):
        exported(shifted, tmp_path / "nerf", "nerf")
    assert not (tmp_path / "nerf").exists() and list(tmp_path.iterdir()) == []


def test_colmap_models_open_in_pycolmap(shifted: Path, tmp_path: Path) -> None:
    for format in ("colmap", "colmap-text"):
        exported(shifted, tmp_path / format, format, points=500)
        with open_dataset(shifted) as dataset:
            for place, expected in (("", [0, 1, 2, 4, 5, 6]), ("test", [3, 7, 8])):
                model = pycolmap.Reconstruction(tmp_path / format / place / "sparse" / "0")
                assert sorted(image.name for image in model.images.values()) == [f"{i:06d}.png" for i in expected]
                for image in model.images.values():
                    assert (tmp_path / format / place / "images" / image.name).is_file()
                    points, pixels, _ = marks(dataset, int(image.name[:6]))
                    seen = np.array([image.project_point(point) for point in points])
                    assert np.abs(seen - pixels).max() < 1e-6
                positions = np.array([point.xyz for point in model.points3D.values()])
                assert len(positions) >= 400
                # on the ball or on the slab below it
                from_ball = np.abs(np.linalg.norm(positions - CENTRE, axis=1) - RADIUS)
                assert np.minimum(from_ball, np.maximum(positions[:, 2] - 0.05, 0.0)).max() < 1e-4


def test_nerfstudio_has_splits_depth_in_millimetres_and_the_same_world(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "ns", "nerfstudio", points=300)
    words = json.loads((tmp_path / "ns" / "transforms.json").read_text())
    assert words["orientation_override"] == "none" and words["camera_model"] == "OPENCV"
    assert [len(words[f"{split}_filenames"]) for split in ("train", "val", "test")] == [6, 1, 2]
    cloud = trimesh.load(tmp_path / "ns" / words["ply_file_path"])
    assert len(cloud.vertices) >= 250
    with open_dataset(shifted) as dataset:
        for frame in words["frames"]:
            index = int(Path(frame["file_path"]).stem)
            points, pixels, _ = marks(dataset, index)
            matrix = np.array(frame["transform_matrix"])
            local = (points - matrix[:3, 3]) @ matrix[:3, :3]
            u = words["cx"] - words["fl_x"] * local[:, 0] / local[:, 2]
            v = words["cy"] + words["fl_y"] * local[:, 1] / local[:, 2]
            assert np.abs(np.stack([u, v], axis=1) - pixels).max() < 1e-6
            millimetres = np.asarray(Image.open(tmp_path / "ns" / frame["depth_file_path"])).astype(np.float64)
            assert np.abs(millimetres / 1000 - dataset.depth(index)).max() < 0.00051
            assert ((millimetres > 0) == (dataset.depth(index) > 0)).all()


@pytest.mark.parametrize("size", [1e-3, 1e5])
def test_depth_of_tiny_and_huge_scenes_keeps_its_precision(size: float, tmp_path: Path) -> None:
    source = write(tmp_path / "scene.h5", CENTRED)
    with h5py.File(source, "r+") as file:
        file["views/depth"][...] *= size
    for format in ("ngp", "nerfstudio"):
        exported(source, tmp_path / format, format)
    unit = json.loads((tmp_path / "ngp" / "transforms.json").read_text())["integer_depth_scale"]
    with open_dataset(source) as dataset:
        for index in (2, 4):
            depth = dataset.depth(index)
            steps = np.asarray(Image.open(tmp_path / "ngp" / "depth" / f"{index:06d}.png"))
            assert np.abs(steps * unit - depth).max() < 1e-4 * depth.max()
            # nerfstudio multiplies whatever the file holds by a thousandth
            millimetres = np.load(tmp_path / "nerfstudio" / "depth" / f"{index:06d}.npy")
            assert np.allclose(millimetres / 1000, depth, rtol=1e-6)


def test_ngp_keeps_held_out_views_apart_and_the_scene_in_its_unit_cube(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "ngp", "ngp", images="exr")
    assert [path.name for path in (tmp_path / "ngp").glob("*.json")] == ["transforms.json"]
    words = json.loads((tmp_path / "ngp" / "transforms.json").read_text())
    held_out = json.loads((tmp_path / "ngp" / "test" / "transforms.json").read_text())
    assert (len(words["frames"]), len(held_out["frames"])) == (6, 3)
    in_cube = BOUNDS * words["scale"] + words["offset"]
    assert in_cube.min() > 0.0 and in_cube.max() < 1.0 and np.ptp(in_cube) > 0.95
    assert not any("sharpness" in frame for frame in words["frames"])
    with open_dataset(shifted) as dataset:
        frame = words["frames"][2]
        with OpenEXR.File(str(tmp_path / "ngp" / frame["file_path"])) as file:
            assert np.array_equal(file.channels()["RGBA"].pixels, dataset.rgba(2))
        depth = np.asarray(Image.open(tmp_path / "ngp" / frame["depth_path"])) * words["integer_depth_scale"]
        assert np.abs(depth - dataset.depth(2)).max() < 0.00051


def test_webdataset_shards_stream(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "web", "webdataset")
    assert sorted(path.name for path in (tmp_path / "web").iterdir()) == [
        f"{split}-000000.tar" for split in ("test", "train", "val")
    ]
    with open_dataset(shifted) as dataset:
        samples = list(webdataset.WebDataset(str(tmp_path / "web" / "train-000000.tar"), shardshuffle=False))
        assert len(samples) == 6
        for sample in samples:
            record = json.loads(sample["json"])
            index = record["index"]
            assert np.array_equal(np.load(io.BytesIO(sample["depth.npy"])), dataset.depth(index))
            assert np.allclose(record["camera_to_world"], dataset.camera_to_world[index])
            assert np.asarray(Image.open(io.BytesIO(sample["png"]))).shape == (HEIGHT, WIDTH, 4)
            for name in ("object_index", "class_index"):
                numbers = np.asarray(Image.open(io.BytesIO(sample[f"{name}.png"])))
                assert np.array_equal(numbers, dataset.pixels(name, index))
            assert np.array_equal(
                np.load(io.BytesIO(sample["flow_forward.npy"])), dataset.pixels("flow_forward", index)
            )


def test_hdf5_has_what_blenderproc_has_and_the_camera(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "hdf5", "hdf5")
    with open_dataset(shifted) as dataset, h5py.File(tmp_path / "hdf5" / "test" / "8.hdf5") as file:
        points, pixels, _ = marks(dataset, 8)
        matrix = file["cam2world_matrix"][()] @ np.diag([1, -1, -1, 1])  # OpenCV looks along +z
        local = (points - matrix[:3, 3]) @ matrix[:3, :3]
        seen = local @ file["cam_K"][()].T
        # OpenCV's first pixel has its centre at 0
        assert np.abs(seen[:, :2] / seen[:, 2:] + 0.5 - pixels).max() < 1e-6
        depth = file["depth"][()]
        assert np.array_equal(np.where(depth < 1e9, depth, 0.0), dataset.depth(8))
        # a slab seen from above: its normal leans towards the camera's up and back
        slab = file["instance_segmaps"][()] == 7
        turned = np.array([0.0, 0.0, 1.0]) @ dataset.camera_to_world[8][:3, :3]
        assert np.abs(file["normals"][()][slab] - (0.5 + 0.5 * turned)).max() < 1e-5
        assert np.array_equal(file["flow_forward"][()], dataset.pixels("flow_forward", 8))
        assert np.array_equal(file["class_index"][()], dataset.pixels("class_index", 8))
        table = json.loads(file["instance_attribute_maps"][()])
        assert table[0] == {"idx": 3, "name": "Ball.001", "category_id": 1}


def test_plain_folders_hold_every_pass(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "plain", "folder")
    records = json.loads((tmp_path / "plain" / "views.json").read_text())["views"]
    record = records[-1]
    assert record["index"] == 8 and record["split"] == "test"
    ball = record["objects"][0]
    assert (ball["index"], ball["name"], ball["class"]) == (3, "Ball.001", "Ball")
    assert np.allclose(ball["object_to_world"], POSES[0]) and ball["local_bounds"] == CUBE
    assert [(point["name"], point["object"]) for point in record["keypoints"]] == [
        ("top", "Ball.001"),
        ("corner.001", 'Slab "old": 1'),
    ]
    with open_dataset(shifted) as dataset:
        assert sorted(record["files"]) == dataset.passes
        assert ball["visible_box"] == dataset.labels.visible_box[8, 0].tolist()
        classes = np.asarray(Image.open(tmp_path / "plain" / record["files"]["class_index"]))
        assert np.array_equal(classes, dataset.pixels("class_index", 8))
        with OpenEXR.File(str(tmp_path / "plain" / record["files"]["flow_forward"])) as file:
            flow = np.stack([file.channels()[letter].pixels for letter in "XY"], axis=-1)
            assert np.array_equal(flow, dataset.pixels("flow_forward", 8))
        with OpenEXR.File(str(tmp_path / "plain" / record["files"]["depth"])) as file:
            assert np.array_equal(file.channels()["Z"].pixels, dataset.depth(8))
        with OpenEXR.File(str(tmp_path / "plain" / record["files"]["normal"])) as file:
            assert np.array_equal(file.channels()["RGB"].pixels, dataset.normal(8))
        labels = np.asarray(Image.open(tmp_path / "plain" / record["files"]["object_index"]))
        assert np.array_equal(labels, dataset.object_index(8))


def test_usd_cameras_by_the_frustum_that_usd_itself_makes_of_them(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "usd", "usd")
    stage = Usd.Stage.Open(str(tmp_path / "usd" / "cameras.usda"))
    assert UsdGeom.GetStageUpAxis(stage) == "Z" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    with open_dataset(shifted) as dataset:
        for path, views in (("train_0", dataset.splits["train"]), ("test_2", dataset.splits["test"])):
            camera = UsdGeom.Camera(stage.GetPrimAtPath(f"/cameras/{path}"))
            assert camera.GetTimeSamples() == list(views)
            for index in map(int, views):
                assert (tmp_path / "usd" / "images" / f"{index:06d}.png").is_file()
                points, pixels, _ = marks(dataset, index)
                frustum = camera.GetCamera(index).frustum
                to_picture = np.array(frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix())
                seen = np.concatenate([points, np.ones((50, 1))], axis=1) @ to_picture
                u, v = (seen[:, :2] / seen[:, 3:]).T  # -1 … 1, v up
                found = np.stack([(1 + u) * WIDTH / 2, (1 - v) * HEIGHT / 2], axis=1)
                assert np.abs(found - pixels).max() < 1e-4


def test_points_lie_on_the_surfaces(shifted: Path, tmp_path: Path) -> None:
    result = exported(shifted, tmp_path / "points.ply", "points", points=300)
    cloud = trimesh.load(tmp_path / "points.ply")
    assert len(cloud.vertices) == result["points"] >= 250
    from_ball = np.abs(np.linalg.norm(cloud.vertices - CENTRE, axis=1) - RADIUS)
    assert np.minimum(from_ball, np.maximum(cloud.vertices[:, 2] - 0.05, 0.0)).max() < 1e-4


def test_a_dataset_without_objects_or_depth_says_what_it_lacks(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.h5", CENTRED, truth=False)
    for format in ("coco", "yolo"):
        with pytest.raises(UserError, match="does not know which object a pixel shows; render it from a scene"):
            exported(bare, tmp_path / format, format)
    with pytest.raises(UserError, match="has no depth to find points by"):
        exported(bare, tmp_path / "points.ply", "points")
    result = exported(bare, tmp_path / "colmap", "colmap")
    assert result["remarks"] == ["The dataset has no depth, so there are no points to begin splats with."]


def without(source: Path, *splits: str) -> Path:
    """The dataset with no view in these splits."""
    with h5py.File(source, "r+") as file:
        for split in splits:
            del file[f"splits/{split}"]
            file[f"splits/{split}"] = np.zeros(0, np.int64)
    return source


def test_held_out_views_alone_can_be_exported(tmp_path: Path) -> None:
    source = without(write(tmp_path / "scene.h5", CENTRED), "train")
    for format in ("ngp", "nerfstudio", "colmap", "coco", "yolo", "bop", "kitti", "kubric", "webdataset", "usd"):
        assert exported(source, tmp_path / format, format)["views"] == 3
    with pytest.raises(UserError, match="needs training views"):
        exported(source, tmp_path / "nerf", "nerf")


def test_a_dataset_without_any_views_is_one_line(tmp_path: Path) -> None:
    source = without(write(tmp_path / "scene.h5", CENTRED), "train", "val", "test")
    for format in (*DATASET_EXPORTS, "points"):
        with pytest.raises(UserError, match="has no views that could be exported"):
            exported(source, tmp_path / "out.ply", format)


def test_a_folder_with_something_in_it_stays_as_it_is(centred: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="exists already; name a new or empty folder"):
        exported(centred, tmp_path / "mine", "nerf")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_cancelling_leaves_nothing(centred: Path, tmp_path: Path) -> None:
    class Impatient(QuietReporter):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        export_dataset(DatasetExportSettings(str(centred), str(tmp_path / "out"), "colmap"), Impatient())
    assert list(tmp_path.iterdir()) == []


def test_a_camera_that_reads_back_elsewhere_is_refused(
    centred: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = stage.WRITERS["nerfstudio"]

    def wrong(task: Any) -> Any:
        written = right(task)
        path = task.folder / "transforms.json"
        words = json.loads(path.read_text())
        path.write_text(json.dumps({**words, "cx": words["cx"] - 0.5}))
        return written

    monkeypatch.setitem(stage.WRITERS, "nerfstudio", wrong)
    with pytest.raises(UserError, match=r"reads back 0\.5 pixels off, more than 0\.05, so nothing was written"):
        exported(centred, tmp_path / "ns", "nerfstudio")
    assert list(tmp_path.iterdir()) == []


def test_a_camera_that_sees_nothing_of_the_scene_has_to_stand_right_too(centred: Path, tmp_path: Path) -> None:
    exported(centred, tmp_path / "set", "folder")
    path = tmp_path / "set" / "views.json"
    words = json.loads(path.read_text())
    overhead = np.array([[0.0, 0.0, 1e3]])
    with open_dataset(centred) as dataset:
        assert all(not 0 < dataset.camera(index).project(overhead)[0][0, 1] < HEIGHT for index in range(9))
        names = {index: f"{index:06d}" for index in range(9)}
        assert require_same_cameras(dataset, path.parent, "folder", names, overhead) < 1e-9
        matrix = words["views"][4]["camera_to_world"]
        for spoiled in (np.add(matrix, np.eye(4, k=3) * 0.1), matrix @ np.diag([-1.0, 1.0, -1.0, 1.0])):
            words["views"][4]["camera_to_world"] = spoiled.tolist()
            path.write_text(json.dumps(words))
            with pytest.raises(UserError, match="pixels off"):
                require_same_cameras(dataset, path.parent, "folder", names, overhead)


def test_the_command_tells_formats_of_datasets_from_those_of_twins(
    centred: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(centred), "--format", "colmap", "-o", str(tmp_path / "out"), "--points", "50"]) == 0
    assert "Read back: points are at most" in capsys.readouterr().out
    assert main(["export", str(centred), "--format", "vdb", "-o", str(tmp_path / "x.vdb")]) == 2
    assert "a dataset cannot become --format vdb; choose one of nerf, ngp" in capsys.readouterr().err


BENT = CameraModel("opencv", (-0.1, 0.02, 0.003, -0.002, 0.0, 0.0))
LENSES = {
    "four coefficients": BENT,
    "five": CameraModel("opencv", (*BENT.distortion[:4], 0.01, 0.0)),
    "all of OpenCV's": CameraModel("opencv", (*BENT.distortion[:4], 0.01, 0.05)),
    "fisheye": CameraModel("fisheye", (-0.03, 0.01, 0.0, 0.0, -0.004, 0.002)),
    "equirectangular": CameraModel("equirectangular"),
}
# which formats can say them
BENDS = {
    "four coefficients": {"ngp", "nerfstudio", "colmap", "colmap-text", "folder", "webdataset"},
    "five": {"nerfstudio", "colmap", "colmap-text", "folder", "webdataset"},
    "all of OpenCV's": {"colmap", "colmap-text", "folder", "webdataset"},
    "fisheye": {"ngp", "nerfstudio", "colmap", "colmap-text", "folder", "webdataset"},
    "equirectangular": {"folder", "webdataset"},
}


@pytest.mark.parametrize("lens", LENSES)
def test_lenses_are_said_or_refused(lens: str, tmp_path: Path) -> None:
    source = write(tmp_path / "bent.h5", np.array([30.0, 28.0, 23.5, 17.0]), model=LENSES[lens])
    for format in set(DATASET_EXPORTS) - set(LABELS):
        if format in BENDS[lens]:
            assert exported(source, tmp_path / format, format, points=300)["worst_error"] < 1e-6
        else:
            with pytest.raises(UserError, match=r", (and \w+ knows none|which \w+ does not know); choose --format"):
                exported(source, tmp_path / format, format)
            assert not (tmp_path / format).exists()


@pytest.mark.parametrize("lens", ["four coefficients", "all of OpenCV's", "fisheye"])
def test_bent_cameras_open_in_pycolmap(lens: str, tmp_path: Path) -> None:
    source = write(tmp_path / "bent.h5", np.array([60.0, 55.0, 23.5, 17.0]), model=LENSES[lens])
    exported(source, tmp_path / "colmap", "colmap", points=100)
    model = pycolmap.Reconstruction(tmp_path / "colmap" / "sparse" / "0")
    with open_dataset(source) as dataset:
        for image in model.images.values():
            points, pixels, _ = marks(dataset, int(image.name[:6]))
            seen = np.array([image.project_point(point) for point in points])
            assert np.abs(seen - pixels).max() < 1e-6


def test_nerfstudio_gets_planar_depth_of_a_fisheye(tmp_path: Path) -> None:
    source = write(tmp_path / "fish.h5", np.array([30.0, 30.0, 24.0, 18.0]), model=CameraModel("fisheye"))
    exported(source, tmp_path / "ns", "nerfstudio", points=100)
    words = json.loads((tmp_path / "ns" / "transforms.json").read_text())
    assert words["camera_model"] == "OPENCV_FISHEYE"
    frame = words["frames"][0]
    planar = np.asarray(Image.open(tmp_path / "ns" / frame["depth_file_path"])) / 1000
    matrix = np.array(frame["transform_matrix"])
    with open_dataset(source) as dataset:
        seen = dataset.camera(0).unproject(dataset.depth(0))
        along_axis = (seen - matrix[:3, 3]) @ -matrix[:3, 2]
        assert np.abs(planar - along_axis)[planar > 0].max() < 0.00051
        assert ((planar > 0) == (dataset.depth(0) > 0)).all()
