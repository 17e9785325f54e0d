# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of Cycles' further passes: flow, classes, materials, positions, and Cryptomatte's shares."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR

from radiance_twin.core.dataset.cycles import view_pixels
from radiance_twin.core.dataset.packing import read_hashes

from .test_staging import HEIGHT, PASSES, WIDTH, passes_of, planned_dataset

FURTHER = {
    "flow_forward": "Vector",
    "flow_backward": "Vector",
    "class_index": "",
    "material_index": "Material Index",
    "position": "Position",
    "coverage_index": "",
    "coverage": "CryptoObject",
}
OBJECTS = [
    {"index": 3, "name": "Teapot", "class": "pot"},
    {"index": 900, "name": "Table", "class": "furniture"},
]
CLASSES = [{"index": 1, "name": "furniture"}, {"index": 2, "name": "pot"}]
HASHES = {"Teapot": 0x3F123456, "Table": 0x41ABCDEF}
PLAN = replace(planned_dataset(), passes={**PASSES, **FURTHER}, objects=OBJECTS, classes=CLASSES)


def of_pixels(*values: float) -> np.ndarray:
    return np.tile(np.array(values, np.float32), (HEIGHT, WIDTH, 1))


def as_float(number: int) -> float:
    return float(np.array([number], np.uint32).view(np.float32)[0])


def test_every_pass_in_the_datasets_own_terms() -> None:
    truth = passes_of(0)  # whose right half hits nothing
    truth["Object Index"][0, :3] = 900.0
    # what went three pixels to the right and two down, and will again; Cycles' pass points up
    truth["Vector"] = of_pixels(-3.0, 2.0, -3.0, 2.0)
    truth["Material Index"] = of_pixels(4.0000005)
    truth["Position"] = of_pixels(1.0, 2.0, 3.0)
    lamp = as_float(0x40111111)  # is in no table of objects
    ranks = [as_float(HASHES["Table"]), 0.5, as_float(HASHES["Teapot"]), 0.25, lamp, 0.125, 0.0, 0.0]
    beauty = {"Combined": truth["Combined"], "CryptoObject00": of_pixels(*ranks[:4])}
    beauty |= {"CryptoObject01": of_pixels(*ranks[4:]), "CryptoObject02": of_pixels(0.0, 0.0, 0.0, 0.0)}
    further = view_pixels(PLAN, beauty, truth, HASHES).further
    hit, miss = (1, 1), (1, 4)
    assert further["flow_forward"][hit].tolist() == [3.0, 2.0] and not further["flow_forward"][miss].any()
    assert further["flow_backward"][hit].tolist() == [-3.0, -2.0] and not further["flow_backward"][miss].any()
    assert [int(further["class_index"][at]) for at in ((0, 0), hit, miss)] == [1, 2, 0]
    assert [int(further["material_index"][at]) for at in (hit, miss)] == [4, 0]
    assert further["position"][hit].tolist() == [1.0, 2.0, 3.0] and not further["position"][miss].any()
    assert further["coverage_index"][hit].tolist() == [900, 3, 0, 0, 0, 0]
    assert further["coverage"][hit].tolist() == [0.5, 0.25, 0.0, 0.0, 0.0, 0.0], "a lamp's share is nobody's"


def test_cryptomattes_hashes_are_numbers_that_a_pixel_can_hold(tmp_path: Path) -> None:
    # as floats: an ordinary number, a denormal one, an infinity, and one that is none
    manifest = {"Teapot": "3f123456", "Thin": "00000001", "Endless": "7f800000", "None": "ffc00001"}
    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "cryptomatte/1111111/name": "view.CryptoMaterial",
        "cryptomatte/1111111/manifest": json.dumps({"Paint": "00000002"}),
        "cryptomatte/2222222/name": "view.CryptoObject",
        "cryptomatte/2222222/manifest": json.dumps(manifest),
    }
    OpenEXR.File(header, {"Y": np.zeros((2, 2), np.float32)}).write(str(tmp_path / "a.exr"))
    hashes = read_hashes(tmp_path / "a.exr")
    assert list(hashes) == list(manifest) and hashes["Teapot"] == 0x3F123456
    for name, number in hashes.items():
        held = np.float32(as_float(number))
        assert np.isfinite(held) and abs(held) >= np.finfo(np.float32).tiny
        # one bit of the exponent at most is another one
        assert number ^ int(manifest[name], 16) in (0, 1 << 23)
