# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes, masks and keypoints in the formats of detectors, read by pycocotools and by their rules in numpy."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from skimage.measure import grid_points_in_poly

from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset.writers.outline import outer_rings, outline_of
from radiance_twin.core.errors import UserError

from . import labelled_dataset
from .labelled_dataset import CENTRED, HEIGHT, PLACES, SHIFTED, WIDTH, alone, exported, write


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shifted") / "scene.h5", SHIFTED)


def test_coco_opens_in_pycocotools_with_masks_boxes_and_names(
    shifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(shifted, tmp_path / "coco", "coco")
    read = COCO(tmp_path / "coco" / "annotations" / "instances_train.json")
    names = {category["id"]: category["name"] for category in read.loadCats(read.getCatIds())}
    assert sorted(names.values()) == ["Ball", 'Slab "old": 1']
    assert read.getCatIds(supNms=["Ball"]) == [1]
    with open_dataset(shifted) as dataset:
        for image in read.loadImgs(read.getImgIds()):
            index = int(image["file_name"][:6])
            labels = dataset.object_index(index)
            found = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
            assert {names[one["category_id"]] for one in found} == {"Ball", 'Slab "old": 1'}
            for one in found:
                mask = labels == (3 if names[one["category_id"]] == "Ball" else 7)
                assert np.array_equal(read.annToMask(one), mask) and one["area"] == mask.sum()
                rows, columns = np.nonzero(mask)
                assert one["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    capsys.readouterr()


def test_coco_tells_of_hidden_parts_and_keypoints(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "coco", "coco")
    words = json.loads((tmp_path / "coco" / "annotations" / "instances_test.json").read_text())
    assert [category["keypoints"] for category in words["categories"]] == [["top"], ["corner"]]
    with open_dataset(shifted) as dataset:
        for one in words["annotations"]:
            view, place = one["image_id"] - 1, one["category_id"] - 1
            left, top, width, height = one["amodal_bbox"]
            assert [left, top, left + width, top + height] == dataset.labels.amodal_box[view, place].tolist()
            whole = run_lengths.decode(one["amodal_segmentation"])
            assert np.array_equal(whole, alone(dataset.camera(view))[place])
            assert one["visible_fraction"] == dataset.labels.visible_fraction[view, place]
            x, y, state = one["keypoints"]
            assert state == dataset.labels.keypoint_state[view, place] and one["num_keypoints"] == (state > 0)
            # the first pixel's centre is 0
            expected, _ = dataset.camera(view).project(PLACES)
            assert state == 0 or np.allclose([x + 0.5, y + 0.5], expected[place])
        assert len(np.unique(dataset.labels.keypoint_state)) > 1


def test_yolo_pose_has_keypoints_in_shares_of_the_picture(shifted: Path, tmp_path: Path) -> None:
    result = exported(shifted, tmp_path / "yolo", "yolo-pose")
    assert result["remarks"] == ['Keypoints in their order: Ball: top; Slab "old": 1: corner.']
    assert "kpt_shape: [1, 3]" in (tmp_path / "yolo" / "data.yaml").read_text().splitlines()
    with open_dataset(shifted) as dataset:
        for index in (7, 8):
            lines = (tmp_path / "yolo" / "labels" / "test" / f"{index:06d}.txt").read_text().splitlines()
            for place, line in enumerate(lines):
                x, y, state = map(float, line.split()[5:])
                assert state == dataset.labels.keypoint_state[index, place]
                expected, _ = dataset.camera(index).project(PLACES)
                assert state == 0 or np.allclose([x * WIDTH, y * HEIGHT], expected[place], atol=1e-4)


def test_yolo_outlines_fill_to_the_masks(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "yolo", "yolo-seg")
    with open_dataset(shifted) as dataset:
        for index in (7, 8):
            shown = dataset.object_index(index)
            lines = (tmp_path / "yolo" / "labels" / "test" / f"{index:06d}.txt").read_text().splitlines()
            for line, value in zip(lines, (3, 7), strict=True):
                corners = np.array(line.split()[1:], float).reshape(-1, 2) * [WIDTH, HEIGHT]
                # drawn 16 times as large, so that what OpenCV draws of the line itself covers no pixel's centre
                large = np.zeros((HEIGHT * 16, WIDTH * 16), np.uint8)
                cv2.fillPoly(large, [np.rint(corners * 16 - 0.5).astype(np.int32)], 1)
                assert np.array_equal(large[8::16, 8::16] > 0, shown == value)


def test_an_outline_holds_parts_and_holes() -> None:
    mask = np.random.default_rng(3).random((30, 40)) > 0.6
    outline = outline_of(mask)
    assert np.array_equal(grid_points_in_poly(mask.shape, outline[:, ::-1] - 0.5), mask)


def test_coco_polygons_are_around_what_is_seen(
    shifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(shifted, tmp_path / "coco", "coco-polygons")
    read = COCO(tmp_path / "coco" / "annotations" / "instances_train.json")
    for one in read.loadAnns(read.getAnnIds()):
        # the library's own way of filling them is off by a pixel of the rim
        assert abs(int(read.annToMask(one).sum()) - one["area"]) < 0.1 * one["area"]
        corners = np.concatenate([np.reshape(ring, (-1, 2)) for ring in one["segmentation"]])
        left, top, width, height = one["bbox"]
        assert np.array_equal([*corners.min(axis=0), *corners.max(axis=0)], [left, top, left + width, top + height])
    capsys.readouterr()


def test_parts_are_separate_and_holes_are_lost_in_polygons_of_coco() -> None:
    mask = np.zeros((12, 20), bool)
    mask[2:9, 2:9] = mask[3, 14:17] = True
    mask[4:6, 4:6] = False
    frame, bar = sorted(outer_rings(mask), key=len, reverse=True)
    assert frame.min(axis=0).tolist() == [2, 2] and frame.max(axis=0).tolist() == [9, 9]
    assert bar.min(axis=0).tolist() == [14, 3] and bar.max(axis=0).tolist() == [17, 4]


def test_yolo_pose_without_keypoints_says_so(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.h5", CENTRED, labelled=False)
    with pytest.raises(UserError, match=r"has no keypoints; render it again with --keypoints NAME, or choose"):
        exported(plain, tmp_path / "yolo", "yolo-pose")


def test_yaml_readers_get_any_name_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["Räder \N{ROCKET}: 'neu'", "no"]
    things = [{**thing, "class": name} for thing, name in zip(labelled_dataset.OBJECTS, names, strict=True)]
    monkeypatch.setattr(labelled_dataset, "OBJECTS", things)
    exported(write(tmp_path / "scene.h5", CENTRED), tmp_path / "yolo", "yolo")
    read = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text(encoding="utf-8"))
    assert sorted(read["names"].values()) == sorted(names)


def test_yolo_has_a_line_an_object_in_shares_of_the_picture(shifted: Path, tmp_path: Path) -> None:
    exported(shifted, tmp_path / "yolo", "yolo")
    lines = (tmp_path / "yolo" / "data.yaml").read_text().splitlines()
    assert lines[:3] == ["train: images/train", "val: images/val", "test: images/test"]
    assert lines[4:] == ['  0: "Ball"', '  1: "Slab \\"old\\": 1"']
    ball = (tmp_path / "yolo" / "labels" / "test" / "000007.txt").read_text().splitlines()[0].split()
    with open_dataset(shifted) as dataset:
        rows, columns = np.nonzero(dataset.object_index(7) == 3)
    assert ball[0] == "0"
    middle = (columns.min() + columns.max() + 1) / 2 / WIDTH, (rows.min() + rows.max() + 1) / 2 / HEIGHT
    assert np.allclose([float(value) for value in ball[1:3]], middle, atol=1e-6)
