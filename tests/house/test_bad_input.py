# SPDX-License-Identifier: GPL-3.0-or-later
"""Misuse of the command line: whatever is wrong, one line says what and what to do, and nothing is left or harmed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from radiance_twin.core import cli
from radiance_twin.core.cameras import intrinsics_from_lens, look_at, world_from_field_of_bounds
from radiance_twin.core.colour import standard_view_transform
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.writing import write_dataset

SMALL_RENDER = ["--resolution", "96x96", "--samples", "1", "--reference-samples", "1", "--no-denoise"]
FEW_VIEWS = ["--views", "6", "--val-views", "1", "--test-views", "1"]

MAKE_SCENES = """
import sys
import bpy

bpy.context.preferences.filepaths.use_file_compression = False
bpy.context.scene.render.engine = "CYCLES"
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1] + "/cube.blend")
bpy.data.objects.remove(bpy.data.objects["Cube"])
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1] + "/nothing_renders.blend")
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cube.blend, a scene.h5 and a scene.twin that are as they should be."""
    folder = tmp_path_factory.mktemp("good")
    subprocess.run([sys.executable, "-c", MAKE_SCENES, folder], check=True, capture_output=True, timeout=60)
    write_tiny_dataset(folder / "scene.h5")
    assert (
        cli.main(["train", str(folder / "scene.h5"), "-o", str(folder / "scene.twin"), "--steps", "2", "--json"]) == 0
    )
    return folder


def write_tiny_dataset(path: Path) -> None:
    """Four views of 16 x 16 pixels of a white ball in front of nothing."""
    count, size = 4, 16
    bounds = np.array([[-1.0, -1, -1], [1, 1, 1]])
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    cameras = [look_at((4 * np.cos(a), 4 * np.sin(a), 1.0), (0.0, 0.0, 0.0)) for a in angles]
    u, v = np.meshgrid(np.arange(size) - 7.5, np.arange(size) - 7.5)
    ball = np.repeat((np.hypot(u, v) < 5)[..., None], 4, axis=2).astype(np.float32)
    header = DatasetHeader(
        camera_to_world=np.stack(cameras),
        intrinsics=np.tile(intrinsics_from_lens(50, 36, 24, "AUTO", 0, 0, size, size, 1, 1), (count, 1)),
        size=np.full((count, 2), size, np.int32),
        frame=np.ones(count, np.int32),
        splits={"train": [0, 1], "val": [2], "test": [3]},
        world_from_field=world_from_field_of_bounds(bounds),
        bounds=bounds,
        film="transparent",
        view_transform=standard_view_transform(),
    )
    write_dataset(path, header, [ViewPixels(rgba=ball, depth=ball[..., 0] * 4) for _ in range(count)])


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    # the command takes over Ctrl-C; pytest wants it back
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def contents(folder: Path) -> dict[str, str]:
    """Everything below `folder` by relative path, files with the hash of their bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


Refused = Callable[..., str]


@pytest.fixture
def refused(good: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that has to fail; returns its one line."""

    def run(*words: str | Path, code: int = 1, naming: str | Path = "") -> str:
        before = contents(tmp_path) | contents(good)
        capfd.readouterr()
        assert cli.main([str(word) for word in words]) == code
        said = capfd.readouterr()
        assert contents(tmp_path) | contents(good) == before, "something was left behind or changed"
        assert said.out == ""
        # one line, after the line that says which Blender opens the scene when it takes one to see what is wrong
        *before_it, line = said.err.splitlines()
        assert [other for other in before_it if not re.fullmatch(r"Blender [\d.]+.* opens .*\.blend", other)] == []
        assert line.startswith("radiance-twin: ")
        assert str(naming) in line, line
        # what is wrong; what to do
        assert "; " in line or "--help" in line, line
        return line

    return run


# --- files that are not what they should be


def missing(path: Path, good_file: Path) -> None:
    """Do not make it."""


def empty(path: Path, good_file: Path) -> None:
    path.touch()


def truncated(path: Path, good_file: Path) -> None:
    whole = good_file.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])


def foreign(path: Path, good_file: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)


def a_folder(path: Path, good_file: Path) -> None:
    path.mkdir()


SPOILERS = [missing, empty, truncated, foreign, a_folder]

# BAD is the spoilt file; the good ones stand beside it in the command
COMMANDS = {
    "render": ("cube.blend", ["render", "BAD", "-o", "OUT/new.h5", *FEW_VIEWS, *SMALL_RENDER]),
    "train": ("scene.h5", ["train", "BAD", "-o", "OUT/new.twin"]),
    "compare, dataset": ("scene.h5", ["compare", "BAD", "GOOD/scene.twin", "-o", "OUT/report"]),
    "compare, twin": ("scene.twin", ["compare", "GOOD/scene.h5", "BAD", "-o", "OUT/report"]),
    "fix-it, dataset": ("scene.h5", ["fix-it", "BAD", "GOOD/scene.twin", "-o", "OUT/cameras.json"]),
    "fix-it, twin": ("scene.twin", ["fix-it", "GOOD/scene.h5", "BAD"]),
    "info, dataset": ("scene.h5", ["info", "BAD"]),
    "info, digest": ("scene.h5", ["info", "BAD", "--digest"]),
    "info, twin": ("scene.twin", ["info", "BAD"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("spoil", SPOILERS)
def test_bad_files(
    spoil: Callable[[Path, Path], None], command: str, good: Path, tmp_path: Path, refused: Refused
) -> None:
    name, words = COMMANDS[command]
    bad = tmp_path / f"bad{Path(name).suffix}"
    spoil(bad, good / name)
    filled = [word.replace("BAD", str(bad)).replace("GOOD", str(good)).replace("OUT", str(tmp_path)) for word in words]
    refused(*filled, naming=bad.name)


@pytest.mark.parametrize(
    ("words", "code", "naming"),
    [
        (["train", "GOOD/scene.h5", "-o", "GOOD/scene.h5", "--steps", "2"], 2, "name it like scene.twin"),
        (["fix-it", "GOOD/scene.h5", "GOOD/scene.twin", "-o", "GOOD/scene.h5"], 2, ".json"),
        (["compare", "GOOD/scene.twin", "GOOD/scene.h5", "-o", "OUT/report"], 1, "scene.twin is no dataset"),
        (["verify", "GOOD/cube.blend", "GOOD/scene.h5"], 1, "cube.blend is no dataset"),
        (["view", "GOOD/scene.h5", "-o", "OUT/x.png", "--dataset", "GOOD/scene.h5", "--view", "0"], 1, "is no twin"),
        (["info", "GOOD/scene.twin", "--digest"], 2, "scene.twin is a twin"),
        (["export", "GOOD/scene.twin", "--format", "coco", "-o", "OUT/coco"], 2, "a twin cannot become"),
        (["export", "GOOD/scene.h5", "--format", "mesh", "-o", "OUT/x.glb"], 2, "a dataset cannot become"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_a_file_where_another_kind_belongs(
    words: list[str], code: int, naming: str, good: Path, tmp_path: Path, refused: Refused
) -> None:
    filled = [word.replace("GOOD", str(good)).replace("OUT", str(tmp_path)) for word in words]
    refused(*filled, code=code, naming=naming)


def test_an_h5_of_another_program(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "weather.h5"
    with h5py.File(path, "w") as file:
        file["rain"] = np.ones(3)
    refused("train", path, "-o", tmp_path / "new.twin", naming=path)


def test_a_zip_of_another_program(good: Path, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "holiday.twin"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("beach.txt", "sand")
    refused("compare", good / "scene.h5", path, "-o", tmp_path / "report", naming=path)


def test_a_dataset_of_a_newer_version(good: Path, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "future.h5"
    shutil.copy(good / "scene.h5", path)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    assert "newer" in refused("train", path, "-o", tmp_path / "new.twin", naming=path)


def test_a_scene_of_a_newer_blender(good: Path, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "future.blend"
    whole = bytearray((good / "cube.blend").read_bytes())
    assert whole[:9] == b"BLENDER-v"
    whole[9:12] = b"499"
    path.write_bytes(whole)
    line = refused("render", path, "-o", tmp_path / "new.h5", *FEW_VIEWS, *SMALL_RENDER, naming=path.name)
    assert "4.99" in line
    assert "--allow-newer" in line


def test_a_scene_without_anything_to_render(good: Path, tmp_path: Path, refused: Refused) -> None:
    line = refused("render", good / "nothing_renders.blend", "-o", tmp_path / "new.h5", *FEW_VIEWS, *SMALL_RENDER)
    assert "nothing" in line


def test_a_target_that_is_not_there(good: Path, tmp_path: Path, refused: Refused) -> None:
    words = ["render", good / "cube.blend", "-o", tmp_path / "new.h5", *FEW_VIEWS, *SMALL_RENDER, "--target", "Teapot"]
    refused(*words, naming="Teapot")


# --- a twin from somebody else


class Intruder:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_twin_with_a_pickle_inside_never_runs_it(good: Path, tmp_path: Path, refused: Refused) -> None:
    proof = tmp_path / "the pickle was run"
    array = io.BytesIO()
    np.save(array, np.array([Intruder(proof)], object), allow_pickle=True)
    evil = tmp_path / "evil.twin"
    with zipfile.ZipFile(good / "scene.twin") as source, zipfile.ZipFile(evil, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name) if name != "bake/density.npy" else array.getvalue())
    refused("info", evil, naming="not numbers")
    refused("compare", good / "scene.h5", evil, "-o", tmp_path / "report", naming="not numbers")
    # the array is no dud: it runs where pickles are allowed
    assert not proof.exists()
    array.seek(0)
    np.load(array, allow_pickle=True)
    assert proof.is_dir()


# --- settings that make no sense


@pytest.mark.parametrize(
    "words",
    [
        ["--views", "0"],
        ["--views", "-3"],
        ["--views", "many"],
        ["--val-views", "-1"],
        ["--test-views", "-1"],
        ["--resolution", "0x64"],
        ["--resolution=-64x64"],
        ["--resolution", "64"],
        ["--samples", "0"],
        ["--reference-samples", "-5"],
        ["--rig", "carousel"],
        ["--film", "kodak"],
        ["--cycles-device", "abacus"],
        ["--seed", "-1"],
        ["--frobnicate"],
    ],
    ids=" ".join,
)
def test_settings_of_render(words: list[str], good: Path, tmp_path: Path, refused: Refused) -> None:
    name = words[0].partition("=")[0]
    refused("render", good / "cube.blend", "-o", tmp_path / "new.h5", *words, code=2, naming=name)


@pytest.mark.parametrize(
    "words",
    [
        ["--seconds", "0"],
        ["--seconds", "-10"],
        ["--seconds", "nan"],
        ["--steps", "0"],
        ["--steps", "-1"],
        ["--device", "abacus"],
    ],
    ids=" ".join,
)
def test_settings_of_train(words: list[str], good: Path, tmp_path: Path, refused: Refused) -> None:
    refused("train", good / "scene.h5", "-o", tmp_path / "new.twin", *words, code=2, naming=words[0].strip("-"))


@pytest.mark.parametrize(
    "words", [[], ["paint"], ["render"], ["train", "scene.h5"], ["compare", "scene.h5"]], ids=" ".join
)
def test_words_that_are_missing_or_unknown(words: list[str], refused: Refused) -> None:
    refused(*words, code=2, naming="--help")


# --- places that cannot be written


@pytest.mark.parametrize("place", ["a file/inside", "/proc/nowhere"])
@pytest.mark.parametrize("command", ["render", "train", "compare", "demo"])
def test_unwritable_folders(command: str, place: str, good: Path, tmp_path: Path, refused: Refused) -> None:
    # who runs the tests may be root, whom no permission stops; a file as a parent and /proc stop everybody
    (tmp_path / "a file").write_text("not a folder")
    folder = tmp_path / place
    words = {
        "render": [good / "cube.blend", "-o", folder / "new.h5", *FEW_VIEWS, *SMALL_RENDER],
        "train": [good / "scene.h5", "-o", folder / "new.twin", "--steps", "2"],
        "compare": [good / "scene.h5", good / "scene.twin", "-o", folder / "report"],
        "demo": ["--quick", "-o", folder],
    }[command]
    refused(command, *words, naming=folder)


@pytest.mark.parametrize("command", ["render", "train"])
def test_an_output_that_is_a_folder(command: str, good: Path, tmp_path: Path, refused: Refused) -> None:
    suffix, words = {
        "render": (".h5", [good / "cube.blend", *FEW_VIEWS, *SMALL_RENDER]),
        "train": (".twin", [good / "scene.h5", "--steps", "2"]),
    }[command]
    output = tmp_path / f"taken{suffix}"
    output.mkdir()
    refused(command, *words, "-o", output, naming=output)


def test_a_blender_that_is_not_there(good: Path, tmp_path: Path, refused: Refused) -> None:
    words = ["render", good / "cube.blend", "-o", tmp_path / "new.h5", "--blender", tmp_path / "blender"]
    refused(*words, naming="--blender")


# --- a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of the given size, which can be called again to grow it."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = False

    def mount(size: str) -> Path:
        nonlocal mounted
        options = f"size={size}" + (",remount" if mounted else "")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"only root may mount the small disk that this needs ({done.stderr.strip()})")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.suffix == ".part" or path.name.startswith(".")]


def test_a_disk_that_fills_while_rendering(
    good: Path, small_disk: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    # the arrays of the view transform (AgX) take 2.2 MB; then a few views fit, and then no more
    disk = small_disk("2750k")
    words = ["render", str(good / "cube.blend"), "-o", str(disk / "cube.h5"), *FEW_VIEWS, *SMALL_RENDER, "--json"]
    assert cli.main(words) == 1
    said = capfd.readouterr()
    *_, line = said.err.splitlines()
    assert line.startswith("radiance-twin: ")
    assert "space" in line
    assert "Traceback" not in said.err
    assert half_written(disk) == []
    assert not (disk / "cube.h5").exists()
    # with room again the same command goes on and keeps what was done
    small_disk("64m")
    assert cli.main(words) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["kept"] > 0
    assert (disk / "cube.h5").is_file()


def test_a_disk_that_fills_while_training(
    good: Path, small_disk: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk("64k")
    assert cli.main(["train", str(good / "scene.h5"), "-o", str(disk / "new.twin"), "--steps", "2"]) == 1
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("radiance-twin: ")
    assert "space" in line
    assert list(disk.iterdir()) == []


def test_a_disk_that_fills_while_comparing(
    good: Path, small_disk: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk("16k")
    words = ["compare", str(good / "scene.h5"), str(good / "scene.twin"), "-o", str(disk / "report")]
    assert cli.main(words) == 1
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("radiance-twin: ")
    assert "space" in line
    assert half_written(disk) == []
