# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a view done, and how staged EXRs become a dataset."""

import json
import resource
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import OpenEXR
import pytest

from radiance_twin.core import colour
from radiance_twin.core.dataset import packing, staging
from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.staging import Plan, PlannedView
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.reporting import QuietReporter

WIDTH, HEIGHT = 5, 3
PASSES = {"rgba": "Combined", "depth": "Depth", "normal": "Normal", "object_index": "Object Index"}
COMMON = {"scene": "abc", "blender": "5.2.3"}
CHANNELS = {"Combined": "RGBA", "Depth": "Z", "Normal": "XYZ", "Object Index": "X"}


def planned(index: int, **changes: object) -> PlannedView:
    pose = np.eye(4)
    pose[0, 3] = index
    view = PlannedView(
        name=f"view_{index:06d}",
        frame=1,
        camera_to_world=pose.tolist(),
        intrinsics=[5.0, 5.0, 2.5, 1.5],
        lens={"lens": 50.0},
        samples=4,
        denoise=True,
        seed=staging.view_seed(0, index),
    )
    return staging.with_key(replace(view, **changes), COMMON)


def planned_dataset() -> Plan:
    return Plan(
        views=[planned(0), planned(1), planned(2)],
        splits={"train": [0, 1], "val": [], "test": [2]},
        noise_floor=planned(2, name=staging.NOISE_FLOOR, seed=7, truth=False),
        noise_floor_of=2,
        resolution=(WIDTH, HEIGHT),
        film="transparent",
        bounds=[[-1.0, -1.0, 0.0], [1.0, 1.0, 1.0]],
        objects=[{"index": 3, "name": "Teapot", "bounds": [[-1.0, -1.0, 0.0], [1.0, 1.0, 1.0]]}],
        passes=PASSES,
        scene_name="tea",
        scene_hash="abc",
        scene_bytes=1234,
        blender_version="5.2.3",
        unit_scale=1.0,
        device="CPU (2 threads)",
        view_transform=colour.standard_view_transform().to_metadata(),
        configuration={"rig": "sphere", "seed": 0},
        noise_ladder=[planned(2, name=f"noise_ladder_{n:04d}", seed=7, truth=False, samples=n) for n in (1, 2)],
    )


def passes_of(index: int) -> dict[str, np.ndarray]:
    """A view whose right half hits nothing, as Cycles writes it."""
    random = np.random.default_rng(index)
    rgba = random.random((HEIGHT, WIDTH, 4)).astype(np.float32)
    depth = np.full((HEIGHT, WIDTH, 1), 2.5, np.float32)
    normal = np.tile(np.array([0, 0, 2.0], np.float32), (HEIGHT, WIDTH, 1))
    number = np.full((HEIGHT, WIDTH, 1), 3.0, np.float32)
    depth[:, 3:], normal[:, 3:], number[:, 3:] = 1e10, 0, 0
    return {"Combined": rgba, "Depth": depth, "Normal": normal, "Object Index": number}


def write_exr(path: Path, passes: dict[str, np.ndarray], parts: bool = True, layer: str = "view") -> None:
    """Write a multilayer EXR: one part a pass as Blender 5 does, or one part as Blender 4.5 does."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    channels = {
        name: {f"{layer}.{name}.{c}": pixels[..., i].copy() for i, c in enumerate(CHANNELS[name])}
        for name, pixels in passes.items()
    }
    if parts:
        written = [OpenEXR.Part(dict(header), c, f"{layer}.{name}") for name, c in channels.items()]
        OpenEXR.File(written).write(str(path))
    else:
        merged = {name: pixels for c in channels.values() for name, pixels in c.items()}
        OpenEXR.File(header, merged).write(str(path))


def stage(folder: Path, plan: Plan, seconds: float = 1.0) -> Path:
    """A folder in which everything is done."""
    folder.mkdir(exist_ok=True)
    staging.write_plan(folder, plan, colour.standard_view_transform())
    for index, view in enumerate(plan.work):
        for name in view.files:
            write_exr(folder / name, passes_of(index))
        staging.write_record(folder, view, seconds, 0.5 * seconds)
    return folder


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    plan = planned_dataset()
    staging.write_plan(tmp_path, plan, colour.standard_view_transform())
    assert staging.read_plan(tmp_path) == plan
    transform = staging.read_view_transform(tmp_path, plan)
    assert transform.to_metadata() == colour.standard_view_transform().to_metadata()
    assert transform.apply([[0.5] * 3]) == pytest.approx(colour.linear_to_srgb([[0.5] * 3]), abs=1e-5)


def test_a_folder_of_the_first_version_can_still_be_packed(tmp_path: Path) -> None:
    """Its view transform is one table in a file of its own."""
    old = {name: value for name, value in colour.standard_view_transform().to_metadata().items() if name != "stages"}
    plan = replace(planned_dataset(), view_transform=old | {"shaper_min": -10.0, "shaper_max": 6.0})
    staging.write_plan(tmp_path, plan, colour.standard_view_transform())
    (tmp_path / "view_transform.npz").unlink()
    np.save(tmp_path / "view_transform.npy", colour.linear_to_srgb(colour.lattice(-10.0, 6.0)))
    text = (tmp_path / "plan.json").read_text("utf-8")
    (tmp_path / "plan.json").write_text(text.replace('"version": 2', '"version": 1'), "utf-8")
    transform = staging.read_view_transform(tmp_path, staging.read_plan(tmp_path))
    assert transform.apply([[0.5] * 3]) == pytest.approx(colour.linear_to_srgb([[0.5] * 3]), abs=1e-3)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "something else", "version": 1}'])
def test_a_damaged_plan_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UserError, match="render again"):
        staging.read_plan(tmp_path)


def test_the_key_changes_with_everything_that_changes_pixels() -> None:
    view = planned(0)
    assert planned(0).key == view.key
    for changes in (
        {"samples": 8},
        {"denoise": False},
        {"seed": 1},
        {"intrinsics": [5.0, 5.0, 2.5, 1.0]},
        {"lens": {"lens": 35.0}},
        {"camera_to_world": np.diag([1.0, 1.0, 1.0, 1.0]).tolist()[::-1]},
    ):
        assert planned(0, **changes).key != view.key
    assert staging.with_key(view, {**COMMON, "scene": "another"}).key != view.key


def test_seeds_are_stable_and_unrelated() -> None:
    assert staging.view_seed(0, 12) == 913276576
    assert len({staging.view_seed(seed, index) for seed in range(4) for index in range(100)}) == 400


def test_only_what_is_missing_or_stale_is_rendered_again(tmp_path: Path) -> None:
    plan = planned_dataset()
    stage(tmp_path, plan)
    assert staging.missing_views(tmp_path, plan) == []
    (tmp_path / "view_000000.beauty.exr").unlink()
    with open(tmp_path / "view_000001.truth.exr", "r+b") as file:
        file.truncate(100)
    changed = replace(plan, views=[*plan.views[:2], planned(2, samples=99)])
    assert [view.name for view in staging.missing_views(tmp_path, changed)] == [view.name for view in changed.views]
    (tmp_path / "noise_floor.json").write_text("{}")
    assert "noise_floor" in [view.name for view in staging.missing_views(tmp_path, plan)]


@pytest.mark.parametrize("parts", [True, False], ids=["Blender 5 writes one part a pass", "4.5 writes one part"])
@pytest.mark.parametrize("layer", ["view", "View.Layer.001"])
def test_both_kinds_of_multilayer_exr_read_the_same(tmp_path: Path, parts: bool, layer: str) -> None:
    written = passes_of(0)
    write_exr(tmp_path / "a.exr", written, parts, layer)
    read = packing.read_layers(tmp_path / "a.exr")
    assert set(read) == set(written)
    for name, pixels in written.items():
        assert np.array_equal(read[name], pixels)


@pytest.mark.parametrize("size", [0, 7, 300, 700])
def test_a_truncated_exr_is_refused(tmp_path: Path, size: int) -> None:
    write_exr(tmp_path / "a.exr", passes_of(0))
    with open(tmp_path / "a.exr", "r+b") as file:
        file.truncate(size)
    with pytest.raises(UserError, match="render again"):
        packing.read_layers(tmp_path / "a.exr")


def test_the_dataset_holds_the_staged_views(tmp_path: Path) -> None:
    plan = planned_dataset()
    packing.pack(stage(tmp_path / "tea.views", plan), plan, tmp_path / "tea.h5", QuietReporter())
    with open_dataset(tmp_path / "tea.h5") as dataset:
        assert (dataset.count, dataset.film, dataset.scene_name, dataset.blender_version) == (
            3,
            "transparent",
            "tea",
            "5.2.3",
        )
        assert {name: list(indices) for name, indices in dataset.splits.items()} == plan.splits
        assert dataset.camera_to_world[2, 0, 3] == 2.0
        assert dataset.rgba(1) == pytest.approx(passes_of(1)["Combined"], abs=5e-4)
        # a miss is 0 in every pass, a hit has a normal of length one
        assert dataset.depth(0)[0].tolist() == [2.5, 2.5, 2.5, 0, 0]
        assert dataset.object_index(0)[0].tolist() == [3, 3, 3, 0, 0]
        assert dataset.normal(0)[0].tolist() == [[0, 0, 1]] * 3 + [[0, 0, 0]] * 2
        assert dataset.objects[0]["name"] == "Teapot"
        # the field's cube holds the bounds, two per cent larger
        assert dataset.world_from_field @ [0.5, 0.5, 0.5, 1] == pytest.approx([0, 0, 0.5, 1])
        assert dataset.world_from_field[0, 0] == pytest.approx(2.04)
        index, pixels = dataset.noise_floor
        assert index == 2
        assert pixels == pytest.approx(passes_of(3)["Combined"], abs=5e-4)
        assert [(rung.samples, rung.seconds) for rung in dataset.noise_ladder] == [(1, 1.0), (2, 1.0)]
        assert dataset.noise_ladder[1].rgba == pytest.approx(passes_of(5)["Combined"], abs=5e-4)
        assert dataset.truth_seconds.tolist() == [0.5, 0.5, 0.5]
    with h5py.File(tmp_path / "tea.h5") as file:
        assert file["views/seconds"][:].tolist() == [1.0, 1.0, 1.0]
        assert file["views/samples"][:].tolist() == [4, 4, 4]


def test_the_noise_ladder_doubles_its_samples_and_costs_a_twentieth() -> None:
    # 60 views at 16 samples and 16 at 128
    assert staging.ladder_samples(128, 60 * 16 + 16 * 128) == [1, 2, 4, 8, 16, 32, 64]
    # 3/61 of the samples; one rung more would be 7/61
    assert staging.ladder_samples(128, 61) == [1, 2]
    assert staging.ladder_samples(8, 10_000) == [1, 2, 4]
    assert staging.ladder_samples(128, 19) == []


def test_a_dataset_is_the_same_however_long_its_views_took(tmp_path: Path) -> None:
    plan = planned_dataset()
    for name, seconds in (("quick", 0.1), ("slow", 9.0)):
        packing.pack(stage(tmp_path / name, plan, seconds), plan, tmp_path / f"{name}.h5", QuietReporter())
    assert dataset_digest(tmp_path / "quick.h5") == dataset_digest(tmp_path / "slow.h5")


def test_a_view_damaged_before_packing_leaves_no_dataset(tmp_path: Path) -> None:
    plan = planned_dataset()
    stage(tmp_path / "views", plan)
    (tmp_path / "views" / "view_000001.beauty.exr").write_bytes(b"nothing")
    with pytest.raises(UserError, match="view_000001"):
        packing.pack(tmp_path / "views", plan, tmp_path / "tea.h5", QuietReporter())
    assert [path.name for path in tmp_path.iterdir()] == ["views"]


def test_a_disk_that_fills_while_packing_leaves_no_dataset(tmp_path: Path) -> None:
    plan = planned_dataset()
    stage(tmp_path / "views", plan)
    output = tmp_path / "tea.h5"
    packing.pack(tmp_path / "views", plan, output, QuietReporter())
    whole = output.stat().st_size
    output.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, 2000, whole // 2, whole - 100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(UserError, match="cannot write .*free some space"):
                packing.pack(tmp_path / "views", plan, output, QuietReporter())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["views"]
    assert staging.missing_views(tmp_path / "views", plan) == []


def test_an_exr_that_was_written_cut_short_is_rendered_again(tmp_path: Path) -> None:
    plan = planned_dataset()
    folder = stage(tmp_path / "views", plan)
    with open(folder / "view_000001.truth.exr", "r+b") as file:
        file.truncate(500)
    staging.write_record(folder, plan.views[1], 1.0)  # whoever rendered it believes that it is complete
    with pytest.raises(UserError, match="view_000001"):
        packing.pack(folder, plan, tmp_path / "tea.h5", QuietReporter())
    assert [view.name for view in staging.missing_views(folder, plan)] == ["view_000001"]


def test_cancelling_while_packing_keeps_the_views(tmp_path: Path) -> None:
    plan = planned_dataset()
    stage(tmp_path / "views", plan)
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled):
        packing.pack(tmp_path / "views", plan, tmp_path / "tea.h5", reporter)
    assert [path.name for path in tmp_path.iterdir()] == ["views"]
    assert staging.missing_views(tmp_path / "views", plan) == []


def test_the_folder_goes_when_only_ours_was_in_it(tmp_path: Path) -> None:
    stage(tmp_path / "views", planned_dataset())
    staging.remove_staging(tmp_path / "views")
    assert not (tmp_path / "views").exists()
    stage(tmp_path / "shared", planned_dataset())
    (tmp_path / "shared" / "notes.txt").write_text("mine")
    staging.remove_staging(tmp_path / "shared")
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["notes.txt"]


def test_the_record_is_readable_json(tmp_path: Path) -> None:
    stage(tmp_path, planned_dataset())
    record = json.loads((tmp_path / "view_000000.json").read_text())
    assert set(record) == {"key", "seconds", "truth_seconds", "files"}
    assert set(record["files"]) == {"view_000000.beauty.exr", "view_000000.truth.exr"}
