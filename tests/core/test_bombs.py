# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are small and claim to be huge: refused in one line, before memory is taken."""

from __future__ import annotations

import copy
import json
import resource
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from radiance_twin.core import twin_file
from radiance_twin.core.camera_file import read_cameras
from radiance_twin.core.dataset.checksums import ATTRIBUTE
from radiance_twin.core.dataset.readers import pictures
from radiance_twin.core.dataset.readers.posed import Unsound
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.field.model import FieldConfig, config_metadata, field_from_arrays
from radiance_twin.core.twin_file import read_twin

from .analytic_scene import write


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Two gigabytes more than now: whoever takes more gets a MemoryError, not the refusal that is asked for."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_dataset_of_empty_views_without_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", views=2, size=8)
    with h5py.File(path, "r+") as file:
        del file.attrs[ATTRIBUTE]
        count = len(file["cameras/size"])
        file["cameras/size"][:] = 60_000
        for name in list(file["views"]):
            if file[f"views/{name}"].ndim > 2:
                kind, channels = file[f"views/{name}"].dtype, file[f"views/{name}"].shape[3:]
                del file[f"views/{name}"]
                # nothing of it is written: it is zeros without taking a byte
                shape = (count, 60_000, 60_000, *channels)
                file.create_dataset(f"views/{name}", shape, kind, chunks=(1, 64, 64, *channels))
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="absurdly many pixels"):
        open_dataset(path)


def test_a_twin_that_unpacks_to_more_than_a_machine_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.twin"
    place = {"format": "radiance-twin", "version": 2, "world_from_field": np.eye(4).tolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("twin.json", json.dumps(place))
        with file.open("field/0.npy", "w") as member:
            np.save(member, np.zeros(1 << 20))
        # more names for the same member: it is small enough, all together are not
        entry = file.getinfo("field/0.npy")
        for number in range(1, 16):
            twice = copy.copy(entry)
            twice.filename = f"field/{number}.npy"
            file.filelist.append(twice)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(twin_file, "LARGEST_TWIN_BYTES", 64 << 20)
    with pytest.raises(UserError, match="more memory than any twin takes"):
        read_twin(path)


def test_a_twin_whose_field_claims_the_largest_table() -> None:
    claimed = {"levels": 12, "base_resolution": 4096, "finest_resolution": 65536, "log2_table_size": 24}
    with pytest.raises(UserError, match=r"lacks a table of shape \(201326592, 4\)"):
        field_from_arrays({**config_metadata(FieldConfig()), **claimed}, {}, torch.device("cpu"))
    with pytest.raises(UserError, match="has density_shift = 1000"):
        FieldConfig.from_metadata({**config_metadata(FieldConfig()), "density_shift": 10**400})


def test_a_picture_with_channels_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import OpenEXR

    many = {f"c{number}": np.zeros((32, 32), np.float32) for number in range(40)}
    channels = many | {letter: np.zeros((32, 32), np.float32) for letter in "RGB"}
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, channels) as file:
        file.write(str(tmp_path / "a.exr"))
    pictures.read_picture(tmp_path / "a.exr")
    monkeypatch.setattr(pictures, "MOST_VALUES", 43 * 32 * 32 - 1)
    with pytest.raises(Unsound, match="44,032 values"):
        pictures.read_picture(tmp_path / "a.exr")


def test_a_png_with_a_chunk_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(tmp_path / "depth.png")
    sound = (tmp_path / "depth.png").read_bytes()
    assert pictures.read_depth(tmp_path / "depth.png").max() == 1000
    data = sound.index(b"IDAT")
    (tmp_path / "depth.png").write_bytes(sound[: data - 4] + (2 << 30).to_bytes(4, "big") + sound[data:])
    monkeypatch.setattr(pictures.cv2, "imread", lambda *_: pytest.fail("it would take 2 GB"))
    with pytest.raises(Unsound, match="longer than the file"):
        pictures.read_depth(tmp_path / "depth.png")


def test_json_that_is_deep_or_without_end(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    path.write_text('{"cameras": ' + "[" * 1_000_000)
    with pytest.raises(UserError, match="it is no JSON"):
        read_cameras(str(path))
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing, in no bytes
    with pytest.raises(UserError, match="larger than 512 MB"):
        read_cameras(str(path))
