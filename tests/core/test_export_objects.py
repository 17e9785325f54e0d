# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats that tell where objects stand, read by their own rules in numpy.

A ball whose box stands askew and a slab, both scaled, seen by cameras with shifted lenses and oblong pixels.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import trimesh
from PIL import Image
from pxr import Usd, UsdGeom

from radiance_twin.core.dataset.checksums import seal_attributes
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset.writers.objects import PosedObject
from radiance_twin.core.errors import UserError
from radiance_twin.core.export import dataset as stage

from .analytic_scene import CENTRE, RADIUS, SLAB
from .labelled_dataset import HEIGHT, POSES, SHIFTED, TURNED, WIDTH, alone, exported, write

CORNERS = np.array(list(np.ndindex(2, 2, 2))) * 2.0 - 1.0
BALL_BOX = CENTRE + RADIUS * CORNERS @ TURNED.T
SLAB_BOX = SLAB.mean(axis=0) + CORNERS * np.ptp(SLAB, axis=0) / 2


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("objects") / "scene.h5", SHIFTED)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_bop_poses_put_the_models_where_the_objects_are(source: Path, tmp_path: Path) -> None:
    result = exported(source, tmp_path / "bop", "bop")
    assert result["worst_error"] < 1e-6 and result["views"] == 9
    scene = tmp_path / "bop" / "test" / "000000"
    cameras, truth, info = (read(scene / f"{name}.json") for name in ("scene_camera", "scene_gt", "scene_gt_info"))
    assert sorted(cameras) == sorted(truth) == sorted(info) == ["7", "8"]
    with open_dataset(source) as dataset:
        for image in ("7", "8"):
            k = np.reshape(cameras[image]["cam_K"], (3, 3))
            assert [pose["obj_id"] for pose in truth[image]] == [1, 2]
            for pose, box in zip(truth[image], (BALL_BOX, SLAB_BOX), strict=True):
                rotation = np.reshape(pose["cam_R_m2c"], (3, 3))
                assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) > 0
                # millimetres about the object's own origin, as large as in the scene
                size = RADIUS if box is BALL_BOX else np.ptp(SLAB, axis=0) / 2
                seen = (1000 * CORNERS * size) @ rotation.T + pose["cam_t_m2c"]
                pixels = (seen @ k.T)[:, :2] / seen[:, 2:]
                # the toolkit's first pixel has its centre at 0
                assert np.abs(pixels + 0.5 - dataset.camera(int(image)).project(box)[0]).max() < 1e-6
            depth = np.asarray(Image.open(scene / "depth" / f"{int(image):06d}.png")) * cameras[image]["depth_scale"]
            assert np.abs(depth - 1000 * dataset.depth(int(image))).max() < 0.51
            # the world's pose tells the same: the ball's centre, by way of the world
            world = np.reshape(cameras[image]["cam_R_w2c"], (3, 3)) @ (1000 * CENTRE) + cameras[image]["cam_t_w2c"]
            assert np.allclose(world, truth[image][0]["cam_t_m2c"], atol=1e-6)


def test_bop_tells_what_is_seen_of_each_object(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "bop", "bop")
    scene = tmp_path / "bop" / "train" / "000000"
    partly = 0
    with open_dataset(source) as dataset:
        for image, objects in read(scene / "scene_gt_info.json").items():
            assert Image.open(scene / "rgb" / f"{int(image):06d}.png").mode == "RGB"
            for number, (index, info) in enumerate(zip((3, 7), objects, strict=True)):
                mask = np.asarray(Image.open(scene / "mask_visib" / f"{int(image):06d}_{number:06d}.png")) > 0
                assert np.array_equal(mask, dataset.object_index(int(image)) == index)
                rows, columns = np.nonzero(mask)
                seen = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
                assert info["bbox_visib"] == seen and info["px_count_visib"] == mask.sum()
                whole = np.asarray(Image.open(scene / "mask" / f"{int(image):06d}_{number:06d}.png")) > 0
                assert np.array_equal(whole, alone(dataset.camera(int(image)))[number])
                assert info["px_count_all"] == whole.sum()
                assert info["visib_fract"] == pytest.approx(mask.sum() / info["px_count_all"])
                partly += info["visib_fract"] < 1
    assert partly >= 6  # the ball hides some of the slab


def test_bop_of_a_dataset_without_whole_masks_has_none(source: Path, tmp_path: Path) -> None:
    shutil.copyfile(source, tmp_path / "older.h5")
    with h5py.File(tmp_path / "older.h5", "r+") as file:
        del file["labels/amodal_runs"], file["labels/amodal_run_counts"]
    result = exported(tmp_path / "older.h5", tmp_path / "bop", "bop")
    assert "there is no mask/" in result["remarks"][1]
    assert sorted(path.name for path in (tmp_path / "bop" / "test" / "000000").glob("mask*")) == ["mask_visib"]


def test_bop_models_are_the_surfaces_in_millimetres(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "bop", "bop")
    infos = read(tmp_path / "bop" / "models" / "models_info.json")
    ball = np.asarray(trimesh.load(tmp_path / "bop" / "models" / "obj_000001.ply").vertices)
    assert len(ball) > 500 and np.abs(np.linalg.norm(ball, axis=1) - 1000 * RADIUS).max() < 0.1
    # a turned ball's normals are turned back with its points
    table = (tmp_path / "bop" / "models" / "obj_000001.ply").read_bytes().partition(b"end_header\n")[2]
    rows = np.frombuffer(table, [("place", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
    assert np.abs(rows["normal"] - rows["place"] / (1000 * RADIUS)).max() < 2e-3
    assert infos["1"]["name"] == "Ball" and infos["1"]["size_x"] == pytest.approx(2000 * RADIUS)
    assert infos["1"]["diameter"] == pytest.approx(2000 * RADIUS, rel=0.02)
    slab = np.asarray(trimesh.load(tmp_path / "bop" / "models" / "obj_000002.ply").vertices)
    half = 500 * np.ptp(SLAB, axis=0)
    assert (np.abs(slab) < half + 0.1).all()
    assert np.allclose([infos["2"][f"min_{axis}"] for axis in "xyz"], -half)


def test_an_object_that_changes_its_size_is_another_bop_model(tmp_path: Path) -> None:
    poses = np.tile(POSES, (9, 1, 1, 1))
    poses[5:, 0, :3, :3] *= 2.0
    exported(write(tmp_path / "grows.h5", SHIFTED, poses=poses), tmp_path / "bop", "bop")
    truth = read(tmp_path / "bop" / "train" / "000000" / "scene_gt.json")
    assert {image: objects[0]["obj_id"] for image, objects in truth.items()} == {
        **dict.fromkeys("0124", 1),
        **dict.fromkeys("56", 3),
    }
    infos = read(tmp_path / "bop" / "models" / "models_info.json")
    assert infos["3"]["size_x"] == pytest.approx(2 * infos["1"]["size_x"])


def test_an_object_that_is_larger_than_its_box_is_told(tmp_path: Path) -> None:
    poses = np.tile(POSES, (9, 1, 1, 1))
    poses[:, 0, :3, :3] *= 0.8  # as if it had grown since its box was measured
    result = exported(write(tmp_path / "changes.h5", SHIFTED, poses=poses), tmp_path / "bop", "bop")
    assert result["remarks"][0] == "Ball changes its shape, and BOP's models are rigid."


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_pose_without_scale_shear_or_mirroring(mirrored: bool) -> None:
    sheared = TURNED @ np.array([[1.0, 0.4, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -0.5 if mirrored else 0.5]])
    matrix = np.eye(4)
    matrix[:3, :3] = sheared
    nothing = np.full(4, np.nan, np.float32)
    thing = PosedObject(0, 1, "Thing", "Thing", matrix, np.zeros((2, 3)), 0, 0, nothing, nothing)
    assert np.allclose(thing.rotation @ thing.rotation.T, np.eye(3)) and np.linalg.det(thing.rotation) > 0
    assert np.allclose(thing.rotation @ thing.stretch, sheared)


def test_kitti_boxes_by_the_development_kit(tmp_path: Path) -> None:
    source = write(tmp_path / "level.h5", SHIFTED, level=True)
    result = exported(source, tmp_path / "kitti", "kitti")
    assert result["worst_error"] < 1e-3
    assert "9 of 18 objects are tilted" in result["remarks"][0]  # the ball's box, in every view
    root = tmp_path / "kitti"
    assert (root / "ImageSets" / "test.txt").read_text() == "000007\n000008\n"
    with open_dataset(source) as dataset:
        for index in range(9):
            rows = (root / "training" / "label_2" / f"{index:06d}.txt").read_text().splitlines()
            assert [row.split()[0] for row in rows] == ["Ball", 'Slab_"old":_1'] and len(rows[0].split()) == 15
            numbers = np.array(rows[1].split()[1:], float)
            truncated, occluded, alpha = numbers[:3]
            left, top, right, bottom = numbers[3:7]
            height, width, length, x, y, z, turn = numbers[7:]
            assert np.allclose([height, width, length], np.ptp(SLAB, axis=0)[[2, 1, 0]])
            # alpha is what the object shows of itself, whatever the direction it is seen in
            assert np.cos(alpha - (turn - np.arctan2(x, z))) == pytest.approx(1.0)
            # corners about the middle of the bottom, y downwards, turned about y
            local = (np.array(list(np.ndindex(2, 2, 2))) - [0.5, 1, 0.5]) * [length, height, width]
            turned = local @ [[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]] + [x, y, z]
            calibration = dict(
                line.split(": ") for line in (root / "training" / "calib" / f"{index:06d}.txt").read_text().splitlines()
            )
            p2 = np.array(calibration["P2"].split(), float).reshape(3, 4)
            pixels = np.c_[turned, np.ones(8)] @ p2.T
            found = pixels[:, :2] / pixels[:, 2:] + 0.5
            expected, _ = dataset.camera(index).project(SLAB_BOX)
            apart = np.linalg.norm(found[:, None] - expected, axis=2)
            assert apart.min(axis=0).max() < 1e-3 and apart.min(axis=1).max() < 1e-3
            whole = dataset.labels.amodal_box[index, 1]
            assert np.allclose([left, top, right + 1, bottom + 1], whole)
            outside = np.maximum(0, np.r_[-expected.min(axis=0), expected.max(axis=0) - [WIDTH, HEIGHT]])
            assert (truncated > 1e-3) == (outside.max() > 0.05)
            seen = dataset.labels.visible_fraction[index, 1]
            assert occluded == (0 if seen >= 0.9 else 1 if seen >= 0.5 else 2)


def test_kitti_tells_how_an_object_beside_the_axis_is_seen_and_how_much_is_hidden(tmp_path: Path) -> None:
    poses = np.tile(POSES, (9, 1, 1, 1))
    poses[:, 1, :3, 3] += [0.7, 0.4, 0.0]
    source = write(tmp_path / "level.h5", SHIFTED, level=True, poses=poses)
    shares = {0: 0.95, 1: 0.8, 2: 0.3}
    with h5py.File(source, "r+") as file:
        whole = file["labels/amodal_pixels"][:, 1]
        for view, share in shares.items():
            file["labels/visible_pixels"][view, 1] = round(share * whole[view])
    exported(source, tmp_path / "kitti", "kitti")
    besides = []
    for view in range(9):
        row = (tmp_path / "kitti" / "training" / "label_2" / f"{view:06d}.txt").read_text().splitlines()[1].split()
        alpha, x, z, turn = (float(row[place]) for place in (3, 11, 13, 14))
        # the heading by the ray to the object, which is turned from the camera's axis to its right
        ray, across = np.array([x, z]) / np.hypot(x, z), np.array([z, -x]) / np.hypot(x, z)
        heading = np.array([np.cos(turn), -np.sin(turn)])
        assert np.allclose([np.cos(alpha), -np.sin(alpha)], [heading @ across, heading @ ray], atol=1e-5)
        besides.append(abs(np.degrees(np.arctan2(x, z))))
        if view in shares:
            assert row[2] == str(view), "not, partly and largely hidden"
    assert max(besides) > 10.0
    calibration = (tmp_path / "kitti" / "training" / "calib" / "000000.txt").read_text().splitlines()
    scanner = dict(line.split(": ") for line in calibration)["Tr_velo_to_cam"]
    # forwards, to the left and up of the scanner in the camera's axes: right, down, forwards
    axes = np.array(scanner.split(), float).reshape(3, 4)
    assert axes.T.tolist() == [[0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, 0]]


def test_kubric_clips_by_the_rules_of_its_reader(source: Path, tmp_path: Path) -> None:
    result = exported(source, tmp_path / "kubric", "kubric")
    assert result["worst_error"] < 1e-6
    assert result["remarks"][1].endswith("which is not always the next one of the train and test clip.")
    clip = tmp_path / "kubric" / "train"
    words, ranges = read(clip / "metadata.json"), read(clip / "data_ranges.json")
    assert words["metadata"]["num_frames"] == 6 and words["metadata"]["views"] == [0, 1, 2, 4, 5, 6]
    k = np.array(words["camera"]["K"])
    camera = words["camera"]
    assert camera["focal_length"] / camera["sensor_width"] == pytest.approx(SHIFTED[0] / WIDTH)
    assert np.tan(camera["field_of_view"] / 2) == pytest.approx(0.5 * WIDTH / SHIFTED[0])
    with open_dataset(source) as dataset:
        for frame, view in enumerate(words["metadata"]["views"]):
            w, x, y, z = words["camera"]["quaternions"][frame]
            turned = np.array(
                [
                    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
                ]
            )
            for instance, box in zip(words["instances"], (BALL_BOX, SLAB_BOX), strict=True):
                corners = np.array(instance["bboxes_3d"][frame])
                assert np.allclose(corners, box)
                seen = (corners - words["camera"]["positions"][frame]) @ turned @ k.T
                pixels = seen[:, :2] / seen[:, 2:] * [WIDTH, HEIGHT]
                assert np.abs(pixels - dataset.camera(view).project(box)[0]).max() < 1e-6
            # segments in the order of the instances, a palette's picture
            segments = np.asarray(Image.open(clip / f"segmentation_{frame:05d}.png"))
            objects = dataset.object_index(view)
            assert np.array_equal(segments, np.select([objects == 3, objects == 7], [1, 2]))
            visibility = [instance["visibility"][frame] for instance in words["instances"]]
            assert visibility == [(segments == 1).sum(), (segments == 2).sum()]
            classes = np.asarray(Image.open(clip / f"class_index_{frame:05d}.png"))
            assert np.array_equal(classes, dataset.pixels("class_index", view))
            # Kubric's depth is the distance from the camera
            distance = np.asarray(Image.open(clip / f"depth_{frame:05d}.tiff"))
            on_ball = np.linalg.norm(
                dataset.camera_to_world[view][:3, 3]
                + distance[..., None] * dataset.camera(view).ray_directions(_centres())
                - CENTRE,
                axis=-1,
            )
            assert np.abs(on_ball[segments == 1] - RADIUS).max() < 1e-4 and (distance[segments == 0] > 1e9).all()
            normal = cv2.imread(str(clip / f"normal_{frame:05d}.png"), cv2.IMREAD_UNCHANGED)[..., ::-1] / 65535 * 2 - 1
            assert np.abs(normal - dataset.normal(view)).max() < 1e-3
            low, high = ranges["forward_flow"]["min"], ranges["forward_flow"]["max"]
            flow = cv2.imread(str(clip / f"forward_flow_{frame:05d}.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
            rows_columns = flow[..., :2] / 65535 * (high - low) + low
            assert np.abs(rows_columns[..., ::-1] - dataset.pixels("flow_forward", view)).max() < (high - low) / 65535
        boxes = words["instances"][0]["bboxes"]
        visible = dataset.labels.visible_box[2, 0]
        assert np.allclose(boxes[2], visible[[1, 0, 3, 2]] / [HEIGHT, WIDTH, HEIGHT, WIDTH])


def _centres() -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1)


def test_a_scene_in_centimetres_is_exported_in_the_formats_own_units(tmp_path: Path) -> None:
    source = write(tmp_path / "scene.h5", SHIFTED, level=True)
    with h5py.File(source, "r+") as file:
        file.attrs["unit_scale"] = 0.01
        seal_attributes(file)
    for format in ("bop", "kitti", "usd"):
        exported(source, tmp_path / format, format)
    infos = read(tmp_path / "bop" / "models" / "models_info.json")
    assert infos["1"]["size_x"] == pytest.approx(10 * 2 * RADIUS)
    camera = read(tmp_path / "bop" / "train" / "000000" / "scene_camera.json")["2"]
    steps = np.asarray(Image.open(tmp_path / "bop" / "train" / "000000" / "depth" / "000002.png"))
    with open_dataset(source) as dataset:
        assert np.abs(steps * camera["depth_scale"] - 10 * dataset.depth(2)).max() < 0.01
        assert np.linalg.norm(camera["cam_t_w2c"]) == pytest.approx(
            10 * np.linalg.norm(dataset.camera_to_world[2][:3, 3])
        )
    row = (tmp_path / "kitti" / "training" / "label_2" / "000002.txt").read_text().splitlines()[1].split()
    assert np.allclose([float(side) for side in row[8:11]], 0.01 * np.ptp(SLAB, axis=0)[[2, 1, 0]], atol=1e-6)
    stage = Usd.Stage.Open(str(tmp_path / "usd" / "cameras.usda"))
    metres = UsdGeom.GetStageMetersPerUnit(stage)
    wide = UsdGeom.Camera(stage.GetPrimAtPath("/cameras/train_0")).GetHorizontalApertureAttr().Get(0)
    # apertures are in tenths of a unit; of a sensor of 36 mm
    assert metres == 0.01 and wide / 10 * metres == pytest.approx(0.036)


def test_without_labels_these_formats_say_what_to_do(tmp_path: Path) -> None:
    source = write(tmp_path / "scene.h5", SHIFTED, labelled=False)
    for format in ("bop", "kitti", "kubric"):
        with pytest.raises(UserError, match=f"where its objects stand, which --format {format} is about; render it"):
            exported(source, tmp_path / format, format)
        assert not (tmp_path / format).exists()


def test_a_pose_that_reads_back_elsewhere_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = stage.WRITERS["bop"]

    def in_metres(task: Any) -> Any:
        written = right(task)
        path = task.folder / "test" / "000000" / "scene_gt.json"
        truth = read(path)
        for pose in truth["8"]:
            pose["cam_t_m2c"] = [value / 1000 for value in pose["cam_t_m2c"]]
        path.write_text(json.dumps(truth))
        return written

    monkeypatch.setitem(stage.WRITERS, "bop", in_metres)
    with pytest.raises(UserError, match=r"Ball.001 of view 8 reads back .* pixels off, more than 0\.05, so nothing"):
        exported(source, tmp_path / "bop", "bop")
    assert list(tmp_path.iterdir()) == []


def test_a_kitti_box_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = stage.WRITERS["kitti"]

    def twice_as_long(task: Any) -> Any:
        written = right(task)
        path = task.folder / "training" / "label_2" / "000000.txt"
        ball, slab = (line.split() for line in path.read_text().splitlines())
        slab[10] = str(2 * float(slab[10]))
        path.write_text(f"{' '.join(ball)}\n{' '.join(slab)}\n")
        return written

    monkeypatch.setitem(stage.WRITERS, "kitti", twice_as_long)
    source = write(tmp_path / "level.h5", SHIFTED, level=True)
    with pytest.raises(UserError, match=r"Slab .* of view 0 reads back .* pixels off"):
        exported(source, tmp_path / "kitti", "kitti")
