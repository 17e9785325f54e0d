# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with somebody else's dataset is named, one line a frame, and never passed over in silence."""

from __future__ import annotations

import json
import runpy
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from radiance_twin.core import cli
from radiance_twin.core.dataset.readers import colmap_model
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.errors import UserError
from radiance_twin.core.importing import ImportSettings, import_dataset
from radiance_twin.core.reporting import QuietReporter

FOREIGN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("foreign_datasets.py"))))

Frame = dict[str, Any]


def run(source: Path, tmp_path: Path, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    """The result, and the lines that were said while it went on."""
    reporter = QuietReporter()
    result = import_dataset(ImportSettings(str(source), str(tmp_path / "x.h5"), **settings), reporter)
    return result, reporter.lines


def refused(source: Path, tmp_path: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        run(source, tmp_path, **settings)
    assert not (tmp_path / "x.h5").exists(), "nothing is left of an import that failed"
    assert "\n" not in str(error.value)
    return str(error.value)


def with_rows(matrix: list[list[float]], change: Callable[[np.ndarray], object]) -> list[list[float]]:
    array = np.array(matrix)
    change(array)
    return array.tolist()


def spoil_pose(change: Callable[[np.ndarray], object]) -> Callable[[Frame, Path], object]:
    return lambda frame, folder: frame.update(transform_matrix=with_rows(frame["transform_matrix"], change))


def half_of_it(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scale_column(matrix: np.ndarray) -> None:
    matrix[:3, 1] *= 3


def mirror(matrix: np.ndarray) -> None:
    matrix[:3, 1] *= -1


def nan_depth(frame: Frame, folder: Path) -> None:
    depth = np.full((30, 40), 2.0, np.float32)
    depth[0, :7] = np.nan
    np.save(folder / "depth.npy", depth)
    frame["depth_file_path"] = "depth.npy"


def of_other_size(frame: Frame, folder: Path) -> None:
    FOREIGN.save(folder / frame["file_path"], FOREIGN.picture(0, 20, 30, False))


# what is done to the fourth of ten frames, and what the line about it says
SPOILED: dict[str, tuple[Callable[[Frame, Path], object], str]] = {
    "broken image": (lambda frame, folder: half_of_it(folder / frame["file_path"]), "broken"),
    "missing image": (lambda frame, folder: (folder / frame["file_path"]).unlink(), "no such file"),
    "image of another size": (of_other_size, "20 x 30, but 40 x 30 is stated"),
    "missing pose": (lambda frame, folder: frame.pop("transform_matrix"), "pose is missing"),
    "pose that is not finite": (spoil_pose(lambda m: m.__setitem__((0, 3), np.nan)), "not finite"),
    "pose of words": (lambda frame, folder: frame.update(transform_matrix="here"), "no number"),
    "pose of another shape": (lambda frame, folder: frame.update(transform_matrix=[[1, 2], [3, 4]]), "shape"),
    "singular pose": (spoil_pose(lambda m: m.__setitem__((slice(0, 3), 0), 0.0)), "singular"),
    "stretched pose": (spoil_pose(scale_column), "stretched"),
    "mirrored pose": (spoil_pose(mirror), "mirrored"),
    "missing mask": (lambda frame, folder: frame.update(mask_path="no.png"), "mask 'no.png'"),
    "missing depth": (lambda frame, folder: frame.update(depth_file_path="no.npy"), "depth 'no.npy'"),
    "depth with NaN": (nan_depth, "7 pixels of its depth are not finite"),
    "focal length that is no number": (lambda frame, folder: frame.update(fl_x="wide"), "fl_x is no number"),
    "negative focal length": (lambda frame, folder: frame.update(fl_x=-5), "focal length"),
    "path out of the folder": (lambda frame, folder: frame.update(file_path="../secret.png"), "lies outside"),
    "absolute path": (lambda frame, folder: frame.update(file_path="/etc/passwd"), "lies outside"),
    "zero in a path": (lambda frame, folder: frame.update(file_path="a\0b.png"), "names no file"),
    "lens of another kind": (lambda frame, folder: frame.update(camera_model="EQUIRECTANGULAR"), "'EQUIRECTANGULAR'"),
    "perspective k4": (lambda frame, folder: frame.update(k4=0.1), "k4"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_one_bad_frame_is_one_line(what: str, tmp_path: Path) -> None:
    spoil, says = SPOILED[what]
    path = FOREIGN.write_transforms(tmp_path / "set", camera_model="OPENCV")
    FOREIGN.save(tmp_path / "secret.png", FOREIGN.picture(alpha=False))
    FOREIGN.change_json(path, lambda data: spoil(data["frames"][3], path.parent))
    name = json.loads(path.read_text())["frames"][3]["file_path"].replace("\0", "\0")
    result, said = run(path, tmp_path)
    (line,) = result["problems"]
    assert line.startswith(" ".join(name.split())) and says in line and line in said
    kept = what == "depth with NaN"  # the picture itself is as good as ever
    assert sum(result["views"].values()) == (10 if kept else 9)
    with open_dataset(tmp_path / "x.h5") as dataset:
        assert dataset.count == (10 if kept else 9)
        if kept:
            assert (dataset.depth(3)[0, :7] == 0).all() and (dataset.depth(3)[1:] > 0).all()
            assert not dataset.depth_complete
    (tmp_path / "x.h5").unlink()
    assert says in refused(path, tmp_path, strict=True)


def test_more_than_a_few_are_too_many(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", aabb_scale=1)
    for position in range(4):
        (path.parent / "images" / f"{position:03d}.png").unlink()
    complaint = refused(path, tmp_path)
    assert "4 of 10" in complaint and "000.png" in complaint
    FOREIGN.save(path.parent / "images" / "000.png", FOREIGN.picture(alpha=False))
    assert len(run(path, tmp_path)[0]["problems"]) == 3


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", aabb_scale=1, white_transparent=True)

    def at_different_times(data: dict[str, Any]) -> None:
        for position, frame in enumerate(data["frames"]):
            frame["time"] = position / 10

    FOREIGN.change_json(path, at_different_times)
    result, said = run(path, tmp_path)
    assert result["problems"] == [] and len(result["remarks"]) == 2
    assert any("different moments" in line for line in said) and any("white_transparent" in line for line in said)


def test_none_is_left(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", count=2)
    for picture in (path.parent / "images").iterdir():
        picture.write_bytes(b"no picture")
    assert "no image" in refused(path, tmp_path)


def test_a_split_that_was_never_rendered_is_one_line(tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "set", {"train": 8, "test": 30})
    for picture in (source / "test").iterdir():
        picture.unlink()
    result, _ = run(source, tmp_path)
    (line,) = result["problems"]
    assert line.startswith("transforms_test.json: none of its 30 frames")
    # and the judges are taken from what there is
    assert result["views"] == {"train": 7, "val": 0, "test": 1}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"frames": []}', '{"frames": {}}', '{"no": "frames"}', "[" * 100_000, "\xff\xfe"],
    ids=["empty", "cut", "list", "null", "no frames", "frames as object", "other keys", "deep", "not text"],
)
@pytest.mark.parametrize("name", ["transforms.json", "transforms_train.json"])
def test_wrong_json(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_text(text, encoding="latin-1")
    assert name in refused(tmp_path / "set", tmp_path)


def test_a_frame_that_is_no_object(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", aabb_scale=1)
    FOREIGN.change_json(path, lambda data: data["frames"].append(17))
    assert run(path, tmp_path)[0]["problems"] == ["frame 10: it is no JSON object; left out"]


@pytest.mark.parametrize("words", [{"latlong": True}, {"orthographic": True}, {"camera_model": "EQUIRECTANGULAR"}])
def test_cameras_that_are_no_pinholes(words: dict[str, Any], tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", **words)
    assert "cannot be imported" in refused(path, tmp_path)


def test_links_do_not_lead_out_of_the_folder_unless_named(tmp_path: Path) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", aabb_scale=1)
    (path.parent / "images").rename(tmp_path / "elsewhere")
    (path.parent / "images").symlink_to(tmp_path / "elsewhere")
    assert "--images" in refused(path, tmp_path)
    result, _ = run(path, tmp_path, images=str(tmp_path / "elsewhere"))
    assert sum(result["views"].values()) == 10


def test_sources_that_are_nothing(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    assert "no known dataset" in refused(tmp_path / "empty", tmp_path)
    path = FOREIGN.write_transforms(tmp_path / "set", aabb_scale=1)
    assert "--images" in refused(path, tmp_path, images=str(tmp_path / "nowhere"))


# --- COLMAP


def test_colmap_images_that_are_missing_or_of_another_size(tmp_path: Path) -> None:
    source = FOREIGN.write_colmap_text(tmp_path / "set", "SIMPLE_PINHOLE", (50.0, 20.0, 15.0))
    pictures = source / "images" / "part_a"
    (pictures / "002.png").unlink()
    FOREIGN.save(pictures / "005.png", FOREIGN.picture(0, 20, 15, False))
    lines = run(source, tmp_path)[0]["problems"]
    assert [line.split(":")[0] for line in lines] == ["part_a/002.png", "part_a/005.png"]
    assert "no such file" in lines[0] and "20 x 15, but 40 x 30 is stated" in lines[1]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("cameras.txt", "7 SIMPLE_PINHOLE 40 30", "seven SIMPLE_PINHOLE 40 30"),
        ("cameras.txt", "50.0 20.0 15.0", "50.0 20.0"),
        ("images.txt", " 7 part_a/003.png", " part_a/003.png"),
        ("images.txt", " 7 part_a/003.png", ""),
        ("points3D.txt", " 9 9 9 0.5 1 0", " x"),
    ],
)
def test_damaged_colmap_text(name: str, old: str, new: str, tmp_path: Path) -> None:
    source = FOREIGN.write_colmap_text(tmp_path / "set", "SIMPLE_PINHOLE", (50.0, 20.0, 15.0))
    path = source / "sparse" / "0" / name
    text = path.read_text()
    assert old in text
    broken = text.replace(old, new, 1)
    if name == "points3D.txt":
        broken += "1 zwei 3 4\n"
    path.write_text(broken)
    assert name in refused(source, tmp_path)


def test_colmap_images_without_their_camera(tmp_path: Path) -> None:
    source = FOREIGN.write_colmap_text(tmp_path / "set", "SIMPLE_PINHOLE", (50.0, 20.0, 15.0))
    path = source / "sparse" / "0" / "images.txt"
    path.write_text(path.read_text().replace(" 7 part_a/003.png", " 8 part_a/003.png"))
    assert run(source, tmp_path)[0]["problems"] == [
        "part_a/003.png: its camera 8 is not in the list of cameras; left out"
    ]


@pytest.mark.parametrize(
    ("name", "read"), [("cameras", colmap_model._binary_cameras), ("images", colmap_model._binary_images)]
)
@pytest.mark.parametrize("claimed", [1, 2**20, 2**63])
def test_binary_counts_are_held_against_the_file(
    name: str, read: Callable[[Path], Any], claimed: int, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.bin"
    path.write_bytes(struct.pack("<Q", claimed) + b"\1\0\0\0\1\0\0\0")
    with pytest.raises(UserError, match="claims"):
        list(read(path))


def test_binary_points_are_held_against_the_file(tmp_path: Path) -> None:
    path = tmp_path / "points3D.bin"
    for claimed in (1, 2**40):
        path.write_bytes(struct.pack("<Q", claimed) + bytes(40))
        with pytest.raises(UserError, match="claims"):
            colmap_model._binary_points(path)
    # a point whose track claims more than there is
    path.write_bytes(struct.pack("<QQ3d3BdQ", 1, 1, 0, 0, 0, 0, 0, 0, 0, 2**50))
    with pytest.raises(UserError, match="claims"):
        colmap_model._binary_points(path)


# --- the command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = FOREIGN.write_transforms(tmp_path / "set", camera_model="OPENCV")
    (path.parent / "images" / "003.png").unlink()
    assert cli.main(["import", str(path.parent), "-o", str(tmp_path / "x.h5"), "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert result["format"] == "nerfstudio" and len(result["problems"]) == 1
    assert "images/003.png" in said.err
    assert cli.main(["import", str(path.parent), "-o", str(tmp_path / "x.h5")]) == 0
    assert "7 train, 0 val, 2 test views from nerfstudio, film world; 1 problem, named above" in capsys.readouterr().out
    assert cli.main(["import", str(path.parent), "-o", str(tmp_path / "y.h5"), "--strict"]) == 1
    assert "003.png" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "y.h5").exists()
    assert cli.main(["info", str(tmp_path / "x.h5")]) == 0
    assert "nerfstudio" in capsys.readouterr().out


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "set")
    (tmp_path / "a file").write_text("not a folder")
    for output in (tmp_path / "a file" / "x.h5", tmp_path / "set.h5"):
        (tmp_path / "set.h5").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="cannot write"):
            import_dataset(ImportSettings(str(source), str(output)), QuietReporter())


def test_a_picture_that_changes_meanwhile(tmp_path: Path) -> None:
    source = FOREIGN.write_nerf(tmp_path / "set")

    class Spoiler(QuietReporter):
        def progress(self, stage: str, *words: Any, **figures: Any) -> None:
            if stage == "import":
                (source / "train" / "r_3.png").write_bytes(b"gone")

    with pytest.raises(UserError, match="r_3"):
        import_dataset(ImportSettings(str(source), str(tmp_path / "x.h5")), Spoiler())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"], "nothing half-written is left"
