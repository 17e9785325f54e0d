# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage of datasets and twins: noticed wherever it is, named, and what is sound is used when that is asked for."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from radiance_twin.core import cli
from radiance_twin.core.dataset import walk
from radiance_twin.core.dataset.store import Dataset, open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.twin_file import SUMS, read_twin, write_twin

from . import labelled_dataset
from .analytic_scene import write
from .test_costs import write_noisy_dataset


def everything(dataset: Dataset) -> dict[str, bytes]:
    """All that is in a dataset, as it is read."""
    cameras = {name: getattr(dataset, name).tobytes() for name in ("camera_to_world", "intrinsics", "size", "bounds")}
    views = {
        f"{name} {index}": dataset.pixels(name, index).tobytes()
        for name in dataset.passes
        for index in range(dataset.count)
    }
    texts = {"texts": repr((dataset.objects, dataset.configuration, dataset.scene_name)).encode()}
    return cameras | views | texts | {name: part.tobytes() for name, part in dataset.view_transform.arrays().items()}


def test_a_flipped_bit_is_never_taken_for_data(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", views=4, size=8)
    with open_dataset(path) as dataset:
        good = everything(dataset)
    whole, chance = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            with open_dataset(path) as dataset:
                assert everything(dataset) == good, "it is in what nobody reads"
        except UserError:
            refused += 1
    assert refused > 50


def test_a_dataset_in_which_hdf5_goes_round_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "radiance-twin-dataset"
    sound = path.read_bytes()
    # the heap that holds the text: its first object is followed by free space, which now is 0 bytes long
    heap = sound.index(b"GCOL")
    size = int.from_bytes(sound[heap + 24 : heap + 32], "little")
    free = heap + 32 + -(-size // 8) * 8
    assert sound[free : free + 2] == b"\0\0"
    path.write_bytes(sound[: free + 8] + bytes(8) + sound[free + 16 :])
    monkeypatch.setattr(walk, "SECONDS", 0.5)
    for _ in range(2):
        with pytest.raises(UserError, match="HDF5 does not come to an end with it; fetch it again"):
            open_dataset(path)
    path.write_bytes(sound)
    with pytest.raises(UserError, match="is damaged"):
        open_dataset(path)


def test_what_has_checksums_is_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_walked", lambda path: pytest.fail("it costs nothing"))
    open_dataset(write(tmp_path / "a.h5", views=4, size=8)).close()


def test_every_array_that_is_written_carries_a_checksum(tmp_path: Path) -> None:
    unchecked = []
    with h5py.File(write(tmp_path / "a.h5", views=4, size=8)) as file:
        file.visititems(
            lambda name, item: (
                unchecked.append(name) if isinstance(item, h5py.Dataset) and item.size and not item.fletcher32 else None
            )
        )
    assert unchecked == []


def flip_a_bit(path: Path, array: str, place: tuple[int, ...]) -> None:
    """Of the chunk of `array` that holds the element at `place`."""
    with h5py.File(path) as file:
        chunk = file[array].id.get_chunk_info_by_coord(place)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 16
    path.write_bytes(data)


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, int]:
    """A dataset in which the depth of one training view is damaged, and that view."""
    path = write(tmp_path / "a.h5", views=6, size=12)
    with h5py.File(path) as file:
        view = int(file["splits/train"][1])
    flip_a_bit(path, "views/depth", (view, 0, 0))
    return path, view


def test_what_is_damaged_beside_the_views_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.h5", views=4, size=8)
    flip_a_bit(path, "cameras/intrinsics", (0, 0))
    assert cli.main(["info", str(path)]) == 1
    assert "is damaged (cameras/intrinsics cannot be read)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("array", "named"),
    [("noise_ladder/rgba", "the noise ladder"), ("noise_floor/rgba", "the second seed's picture and the noise ladder")],
)
def test_what_can_be_done_without_is_named_and_left_out(
    tmp_path: Path, array: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_noisy_dataset(tmp_path / "a.h5")
    with h5py.File(path) as file:
        first = (0,) * file[array].ndim
    flip_a_bit(path, array, first)
    assert cli.main(["info", str(path), "--check"]) == 1
    assert f"is damaged in {named}; fetch it again" in capsys.readouterr().err
    said: list[str] = []
    with open_dataset(path, said.append) as rest:
        assert len(said) == 1 and rest.noise_ladder == []
        assert (rest.noise_floor is None) == (array == "noise_floor/rgba")


def test_damaged_labels_are_named_and_the_views_are_used_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = labelled_dataset.write(tmp_path / "a.h5", labelled_dataset.CENTRED)
    flip_a_bit(path, "labels/visible_box", (0, 0, 0))
    assert cli.main(["info", str(path), "--check"]) == 1
    assert "is damaged in the labels; fetch it again" in capsys.readouterr().err
    said: list[str] = []
    with open_dataset(path, said.append) as rest:
        assert rest.labels is None and len(rest.splits["train"]) == 6
    assert len(said) == 1 and "(the labels); it is left out" in said[0]
    command = ["export", str(path), "--format", "kitti", "-o", str(tmp_path / "kitti"), "--skip-damaged"]
    assert cli.main(command) == 1
    assert "does not say where its objects stand" in capsys.readouterr().err


def test_a_damaged_view_is_named_and_the_others_are_used(
    damaged: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, view = damaged
    assert cli.main(["info", str(path), "--check"]) == 1
    assert f"in 1 of 10 views ({view})" in capsys.readouterr().err
    said: list[str] = []
    with open_dataset(path) as whole, open_dataset(path, said.append) as rest:
        assert rest.splits["train"].tolist() == [index for index in whole.splits["train"] if index != view]
        assert whole.rgba(view).any(), "another pass of it is sound"
    assert len(said) == 1 and f"depth of view {view}" in said[0]
    words = ["export", str(path), "--format", "folder", "-o", str(tmp_path / "folder")]
    assert cli.main(words) == 1
    assert f"(depth of view {view}); " in capsys.readouterr().err and not (tmp_path / "folder").exists()
    assert cli.main([*words, "--skip-damaged"]) == 0
    twin = str(tmp_path / "a.twin")
    assert cli.main(["train", str(path), "-o", twin, "--steps", "2"]) == 1
    assert cli.main(["train", str(path), "-o", twin, "--steps", "2", "--skip-damaged"]) == 0
    assert cli.main(["compare", str(path), twin, "-o", str(tmp_path / "report"), "--skip-damaged"]) == 0


def test_a_twin_whose_arrays_were_exchanged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.twin"
    arrays = {"field/one": np.zeros(3, np.float32), "field/two": np.ones(3, np.float32), "bake/x": np.ones(2)}
    place = {"world_from_field": np.eye(4).tolist()}
    write_twin(path, place, arrays)
    sums = read_twin(path).metadata[SUMS]
    # as if somebody had put one file's array into another's: the zip itself is as it should be
    for name, value in (("field/one", arrays["field/two"]), ("field/two", None)):
        other = {key: array for key, array in {**arrays, name: value}.items() if array is not None}
        write_twin(tmp_path / "other.twin", place, other)
        _with_header(tmp_path / "other.twin", place, sums)
        with pytest.raises(UserError, match=rf"other.twin is damaged .{name}.; train again"):
            read_twin(tmp_path / "other.twin")
        assert read_twin(tmp_path / "other.twin", ["bake"]).arrays.keys() == {"bake/x"}, "the rest is sound"


def _with_header(path: Path, metadata: dict[str, object], sums: dict[str, str]) -> None:
    with zipfile.ZipFile(path) as file:
        arrays = {name: file.read(name) for name in file.namelist() if name != "twin.json"}
        header = json.loads(file.read("twin.json"))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("twin.json", json.dumps({**header, SUMS: sums}))
        for name, data in arrays.items():
            file.writestr(name, data)


def test_a_flipped_bit_in_a_twin_is_never_taken_for_data(tmp_path: Path) -> None:
    path = tmp_path / "a.twin"
    arrays = {f"field/{name}": np.random.default_rng(1).normal(size=20).astype(np.float32) for name in "abc"}
    write_twin(path, {"world_from_field": np.eye(4).tolist(), "scene_name": "a"}, arrays)
    good, whole = read_twin(path), path.read_bytes()
    for bit in range(8 * len(whole)):
        if bit % 29:
            continue
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            twin = read_twin(path)
        except UserError:
            continue
        assert twin.metadata == good.metadata and twin.arrays.keys() == arrays.keys()
        assert all(np.array_equal(twin.arrays[name], array) for name, array in arrays.items())
