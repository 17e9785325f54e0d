# SPDX-License-Identifier: GPL-3.0-or-later
"""The .twin file: what is written is read back, and nothing that somebody else made can do harm."""

import io
import json
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiance_twin.core import twin_file
from radiance_twin.core.errors import UserError
from radiance_twin.core.twin_file import Twin, read_twin, write_twin

METADATA = {"world_from_field": np.diag([2.0, 2.0, 2.0, 1.0]).tolist(), "scene_name": "test"}
HEADER = json.dumps({"format": "radiance-twin", "version": 1, **METADATA})


def write_zip(path: Path, **members: bytes | str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return path


def npy(array: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def test_round_trip(tmp_path: Path) -> None:
    arrays = {
        "bake/density": np.random.default_rng(0).random((4, 5, 6)).astype(np.float16),
        "field/table": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    }
    write_twin(tmp_path / "a.twin", METADATA, arrays)
    twin = read_twin(tmp_path / "a.twin")
    assert twin.metadata["format"] == "radiance-twin" and twin.metadata["scene_name"] == "test"
    np.testing.assert_array_equal(twin.world_from_field, np.diag([2.0, 2.0, 2.0, 1.0]))
    for name, array in arrays.items():
        np.testing.assert_array_equal(twin.arrays[name], array)
        assert twin.arrays[name].dtype == array.dtype
    assert set(read_twin(tmp_path / "a.twin", ["bake"]).arrays) == {"bake/density"}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.twin"], "no temporary file is left"


@pytest.mark.parametrize("moment", ["_read_metadata", "_read_members", "read_array"])
def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    for name, value in (("a.twin", 1), ("b.twin", 2)):
        write_twin(tmp_path / name, METADATA, {f"field/{array}": np.full(1000, value) for array in "xyz"})
    read = getattr(twin_file, moment)

    def replace_and_read(*arguments: Any) -> Any:
        with suppress(FileNotFoundError):
            (tmp_path / "b.twin").replace(tmp_path / "a.twin")
        return read(*arguments)

    monkeypatch.setattr(twin_file, moment, replace_and_read)
    arrays = read_twin(tmp_path / "a.twin").arrays
    assert {name: array[0] for name, array in arrays.items()} == {"field/x": 1, "field/y": 1, "field/z": 1}
    assert read_twin(tmp_path / "a.twin").arrays["field/x"][0] == 2


@pytest.mark.parametrize("bounds", [[[-1, 0, 0], [1, 0.5, 2]], None, "no box", [[1, 1, 1], [0, 0, 0]]])
def test_what_was_trained_has_a_box_even_when_the_file_does_not_say(bounds: object) -> None:
    twin = Twin({**METADATA, "bounds": bounds}, {})
    expected = [[-1, 0, 0], [1, 0.5, 2]] if isinstance(bounds, list) and bounds[0][0] < 0 else [[0, 0, 0], [2, 2, 2]]
    np.testing.assert_allclose(twin.bounds, expected)
    assert twin.box.shape == (8, 3) and len(np.unique(twin.box, axis=0)) == 8


def test_the_same_field_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.twin", "b.twin"):
        write_twin(tmp_path / name, METADATA, {"field/table": np.ones(1000)})
    assert (tmp_path / "a.twin").read_bytes() == (tmp_path / "b.twin").read_bytes()


def test_a_pickle_inside_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.write_text, (tmp_path / "boom", "executed"))

    pickled = npy(np.array([Bomb()], dtype=object), allow_pickle=True)
    for members in ({"field__x_dot_npy": pickled}, {"field__x_dot_npy": pickle.dumps(Bomb())}):
        path = write_zip(tmp_path / "evil.twin", twin_dot_json=HEADER, **members)
        with pytest.raises(UserError):
            read_twin(path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("kept", [0, 10, 300, -30])
def test_truncated(tmp_path: Path, kept: int) -> None:
    write_twin(tmp_path / "a.twin", METADATA, {"field/x": np.random.default_rng(0).random(500)})
    (tmp_path / "a.twin").write_bytes((tmp_path / "a.twin").read_bytes()[:kept])
    with pytest.raises(UserError, match="not a complete .twin"):
        read_twin(tmp_path / "a.twin")


def test_one_flipped_bit_in_an_array_is_noticed(tmp_path: Path) -> None:
    write_twin(tmp_path / "a.twin", METADATA, {"field/x": np.random.default_rng(0).random(5000)})
    data = bytearray((tmp_path / "a.twin").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "a.twin").write_bytes(data)
    with pytest.raises(UserError):
        read_twin(tmp_path / "a.twin")


def test_foreign_and_newer_files(tmp_path: Path) -> None:
    cases = {
        "no twin.json": write_zip(tmp_path / "1.twin", readme="hello"),
        "another format": write_zip(tmp_path / "2.twin", twin_dot_json='{"format": "gltf", "version": 1}'),
        "newer Radiance Twin": write_zip(
            tmp_path / "3.twin", twin_dot_json=HEADER.replace('"version": 1', '"version": 9')
        ),
        "damaged header": write_zip(tmp_path / "4.twin", twin_dot_json="[" * 100000),
        "world_from_field": write_zip(tmp_path / "5.twin", twin_dot_json=HEADER.replace("2.0", "0.0")),
    }
    for complaint, path in cases.items():
        with pytest.raises(UserError, match=complaint):
            read_twin(path)
    with pytest.raises(UserError, match="does not exist"):
        read_twin(tmp_path / "nowhere.twin")
    write_twin(tmp_path / "6.twin", METADATA, {})
    with pytest.raises(UserError, match="lacks bake"):
        read_twin(tmp_path / "6.twin", ["bake"])


@pytest.mark.parametrize(
    ("training", "history"),
    [
        ({"history": [[1, 20.5], [2.5, 24.0]]}, [(1.0, 20.5), (2.5, 24.0)]),
        ({"history": [[1, float("nan")]]}, []),
        ({"history": "quick"}, []),
        ({"history": [[1]]}, []),
        ({}, []),
        (None, []),
    ],
)
def test_the_history_of_a_training_is_sensible_or_empty(training: object, history: list[tuple[float, float]]) -> None:
    assert Twin({"training": training}, {}).training_history == history


def test_an_array_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    honest = npy(np.zeros(10))
    lying = honest.replace(b"(10,), }", b"(10000000000,), }"[:17]).ljust(len(honest), b" ")
    path = write_zip(tmp_path / "a.twin", twin_dot_json=HEADER, field__x_dot_npy=lying)
    with pytest.raises(UserError, match="claims|damaged"):
        read_twin(path)


def test_an_array_without_a_checksum_is_held_against_the_zips(tmp_path: Path) -> None:
    data = npy(np.arange(10.0))
    path = write_zip(tmp_path / "a.twin", twin_dot_json=HEADER, field__x_dot_npy=data)
    assert np.array_equal(read_twin(path).arrays["field/x"], np.arange(10.0))
    path.write_bytes(path.read_bytes().replace(data, data[:-1] + bytes([data[-1] ^ 1])))
    with pytest.raises(UserError, match="not a complete .twin"):
        read_twin(path)
    write_zip(path, twin_dot_json=HEADER, field__x_dot_npy=data + b"more")
    with pytest.raises(UserError, match="does not have the length it claims"):
        read_twin(path)


def test_absurd_numbers_of_arrays_and_headers_are_refused(tmp_path: Path) -> None:
    many = {f"field__{number}_dot_npy": npy(np.zeros(1)) for number in range(257)}
    with pytest.raises(UserError, match="holds 257 arrays, more than any twin"):
        read_twin(write_zip(tmp_path / "many.twin", twin_dot_json=HEADER, **many))
    texts = write_zip(tmp_path / "texts.twin", twin_dot_json=HEADER, field__x_dot_npy=npy(np.array(["a", "b"])))
    with pytest.raises(UserError, match="holds <U1, not numbers"):
        read_twin(texts)
    with pytest.raises(UserError, match="absurdly large header"):
        read_twin(write_zip(tmp_path / "long.twin", twin_dot_json=HEADER + " " * (16 << 20)))
