# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin held against the classic render: what is measured, what is written, and what is left alone."""

import errno
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from radiance_twin.core import cameras, colour
from radiance_twin.core.comparison import compare as module
from radiance_twin.core.comparison.compare import (
    CompareSettings,
    compare,
    doubts,
    how_to_show,
    measure_views,
    noise_floor,
)
from radiance_twin.core.comparison.objects import ErrorsOfObjects
from radiance_twin.core.comparison.report_folder import report_folder
from radiance_twin.core.dataset.contents import DatasetHeader, ViewPixels
from radiance_twin.core.dataset.digest import dataset_digest
from radiance_twin.core.dataset.store import open_dataset
from radiance_twin.core.dataset.writing import write_dataset
from radiance_twin.core.errors import Cancelled, UserError
from radiance_twin.core.field.model import FieldConfig, RadianceField, config_metadata, field_arrays
from radiance_twin.core.field.occupancy import occupancy_bits
from radiance_twin.core.field.render import load_field, render_view
from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.twin_file import Twin, read_twin, write_twin
from radiance_twin.core.words import metrics_in_words

WIDTH, HEIGHT = 32, 24
WORLD_FROM_FIELD = cameras.world_from_field_of_bounds(np.array([[-1.0, -1, -1], [1, 1, 1]]))
EYES = [(4.0 * math.cos(a), 4.0 * math.sin(a), 1.5) for a in np.linspace(0.0, 5.0, 6)]
POSES = np.array([cameras.look_at(eye, (0, 0, 0)) for eye in EYES])
INTRINSICS = np.array([40.0, 40.0, WIDTH / 2, HEIGHT / 2])
TEST = [3, 5]


def header(**changes: object) -> DatasetHeader:
    values: dict[str, object] = {
        "camera_to_world": POSES,
        "intrinsics": np.tile(INTRINSICS, (6, 1)),
        "size": np.tile(np.array([WIDTH, HEIGHT], np.int32), (6, 1)),
        "frame": np.arange(6, dtype=np.int32) + 10,
        "splits": {"train": [0, 1, 2], "val": [4], "test": TEST},
        "world_from_field": WORLD_FROM_FIELD,
        "bounds": np.array([[-1.0, -1, -1], [1, 1, 1]]),
        "film": "transparent",
        "view_transform": colour.standard_view_transform(),
        "scene_name": "shapes",
        "scene_hash": "abc",
        "scene_bytes": 1234,
        "blender_version": "4.5.0",
    }
    return DatasetHeader(**{**values, **changes})  # type: ignore[arg-type]


def grey(display: int, alpha: float = 1.0) -> np.ndarray:
    """A premultiplied picture whose display value over black is `display` of 255."""
    linear = colour.srgb_to_linear(np.full((HEIGHT, WIDTH, 1), display / 255.0))
    return np.concatenate([np.repeat(linear, 3, -1), np.full((HEIGHT, WIDTH, 1), alpha)], -1).astype(np.float32)


def write_grey_dataset(path: Path, **changes: object) -> Path:
    views = [ViewPixels(grey(100), seconds=2.0 + index, samples=64) for index in range(6)]
    write_dataset(path, header(**changes), views, noise_floor=(TEST[0], grey(102)))
    return path


def training(dataset: Path) -> dict[str, object]:
    return {"seconds": 12.5, "scene_hash": "abc", "dataset_digest": dataset_digest(dataset)}


def write_foggy_twin(path: Path, **training: object) -> Path:
    """A small field of coloured fog, thick enough to be seen."""
    config = FieldConfig(levels=2, base_resolution=4, finest_resolution=8, log2_table_size=10, hidden=16)
    field = RadianceField(config, seed=4)
    with torch.no_grad():
        field.table.mul_(2e4)
        field.colour[-1].sub_(0.1)
    metadata = {
        "world_from_field": WORLD_FROM_FIELD.tolist(),
        "model": config_metadata(config),
        "march": {"step": 1.0 / 32.0, "occupancy_resolution": 8},
        "training": training,
    }
    write_twin(path, metadata, {**field_arrays(field), **occupancy_bits(np.ones((8, 8, 8), bool))})
    return path


def pictures_of(twin: Path) -> list[np.ndarray]:
    field = load_field(read_twin(twin), "cpu")
    return [render_view(field, cameras.Camera(pose, np.array(INTRINSICS), (WIDTH, HEIGHT)))[0] for pose in POSES]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a twin, and a dataset that holds exactly what its field shows."""
    folder = tmp_path_factory.mktemp("fog")
    twin = write_foggy_twin(folder / "fog.twin", seconds=12.5, scene_hash="abc")
    views = [ViewPixels(picture, seconds=2.0, samples=64) for picture in pictures_of(twin)]
    write_dataset(folder / "fog.h5", header(), views)
    return folder


@pytest.fixture
def example(originals: Path, tmp_path: Path) -> CompareSettings:
    """The same in a folder that a test may spoil."""
    twin = tmp_path / "fog.twin"
    for name in ("fog.h5", "fog.twin"):
        shutil.copyfile(originals / name, tmp_path / name)
    return CompareSettings(str(tmp_path / "fog.h5"), str(twin), str(tmp_path / "report"), "cpu")


def shown(pixels: np.ndarray) -> Callable[..., np.ndarray]:
    """A field that shows the same everywhere."""
    return lambda camera: pixels


def test_a_perfect_twin_has_no_difference(example: CompareSettings) -> None:
    """The same field on both sides, through cameras, file formats, view transform and metrics."""
    classic = pictures_of(Path(example.twin))[TEST[0]]
    assert classic[..., 3].max() > 0.5  # there is something to see
    assert classic[..., :3].std() > 0.01
    mean = compare(example, QuietReporter())["mean"]
    # the dataset holds half precision, so that a few values round to the neighbouring byte
    assert mean["psnr"] is None or mean["psnr"] > 60
    assert mean["ssim"] > 0.9999
    assert mean["flip"] < 5e-3


def test_a_twin_in_the_wrong_place_is_found_out(example: CompareSettings) -> None:
    twin = read_twin(example.twin)
    moved = WORLD_FROM_FIELD.copy()
    moved[0, 3] += 0.4
    write_twin(example.twin, {**twin.metadata, "world_from_field": moved.tolist()}, twin.arrays)
    assert compare(example, QuietReporter())["mean"]["psnr"] < 35


def test_metrics_json_says_what_was_compared_with_what(example: CompareSettings) -> None:
    result = compare(example, QuietReporter())
    report = Path(result.pop("report"))
    assert report == Path(example.output) / "index.html"
    metrics = json.loads((report.parent / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == json.loads(json.dumps(result))
    assert (metrics["format"], metrics["version"]) == ("radiance-twin-metrics", 1)
    assert metrics["dataset"]["path"] == example.dataset
    assert len(metrics["twin"]["sha256"]) == 64
    assert metrics["view_transform"]["view"] == "Standard"
    assert metrics["background"] == [0.0, 0.0, 0.0]
    assert metrics["train_seconds"] == 12.5
    assert metrics["bytes"] == {
        "scene": 1234,
        "dataset": Path(example.dataset).stat().st_size,
        "twin": Path(example.twin).stat().st_size,
    }
    assert metrics["machine"]["cores"] >= 1
    assert [(view["index"], view["frame"]) for view in metrics["views"]] == [(3, 13), (5, 15)]
    for view in metrics["views"]:
        assert view["classic_seconds"] == 2.0
        assert view["neural_seconds"] > 0
        for name in view["images"].values():
            assert Image.open(report.parent / name).size == (WIDTH, HEIGHT)


def test_the_figures_are_those_of_pencil_and_paper(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with open_dataset(write_grey_dataset(tmp_path / "grey.h5")) as dataset:
        show = how_to_show(dataset, None)
        views = measure_views(
            dataset, shown(grey(110)), show, tmp_path / "images", ErrorsOfObjects(dataset), QuietReporter()
        )
    assert [view["index"] for view in views] == TEST
    for view in views:
        assert view["psnr"] == pytest.approx(20 * math.log10(255 / 10), abs=1e-6)
        assert view["psnr_foreground"] == pytest.approx(view["psnr"])
    assert [view["classic_seconds"] for view in views] == [5.0, 7.0]
    assert np.asarray(Image.open(tmp_path / "images" / "classic_003.png")).tolist() == [[[100] * 3] * WIDTH] * HEIGHT
    assert np.asarray(Image.open(tmp_path / "images" / "neural_003.png")).tolist() == [[[110] * 3] * WIDTH] * HEIGHT


def test_both_sides_stand_before_the_datasets_background(tmp_path: Path) -> None:
    """An empty twin before white is white: it differs from the grey classic by 155 of 255."""
    (tmp_path / "images").mkdir()
    path = write_grey_dataset(tmp_path / "grey.h5", background=(1.0, 1.0, 1.0))
    with open_dataset(path) as dataset:
        empty = np.zeros((HEIGHT, WIDTH, 4), np.float32)
        views = measure_views(
            dataset,
            shown(empty),
            how_to_show(dataset, None),
            tmp_path / "images",
            ErrorsOfObjects(dataset),
            QuietReporter(),
        )
    assert views[0]["psnr"] == pytest.approx(20 * math.log10(255 / 155), abs=1e-6)


def test_the_noise_floor_is_the_difference_of_two_seeds(tmp_path: Path) -> None:
    with open_dataset(write_grey_dataset(tmp_path / "grey.h5")) as dataset:
        floor = noise_floor(dataset, how_to_show(dataset, None))
    assert floor is not None
    assert floor["index"] == TEST[0]
    assert floor["psnr"] == pytest.approx(20 * math.log10(255 / 2), abs=1e-6)


def test_the_noise_floor_leaves_out_what_nobody_knows(tmp_path: Path) -> None:
    known = np.arange(WIDTH)[None].repeat(HEIGHT, axis=0) < WIDTH // 2
    first, second = (grey(level) * known[..., None] for level in (100, 102))
    views = [ViewPixels(first, valid=known) for _ in range(6)]
    write_dataset(tmp_path / "half.h5", header(), views, noise_floor=(TEST[0], second))
    with open_dataset(tmp_path / "half.h5") as dataset:
        floor = noise_floor(dataset, how_to_show(dataset, None))
    assert floor is not None and floor["psnr"] == pytest.approx(20 * math.log10(255 / 2), abs=1e-6)


def test_without_a_second_seed_there_is_no_noise_floor(example: CompareSettings) -> None:
    assert compare(example, QuietReporter())["noise_floor"] is None


def test_a_twin_of_something_else_is_compared_with_a_warning(tmp_path: Path) -> None:
    path = write_grey_dataset(tmp_path / "grey.h5")
    known = training(path)
    cases = {
        "": known,
        "another scene": {**known, "scene_hash": "xyz"},
        "another dataset of this scene": {**known, "dataset_digest": "0" * 64},
        "does not say": {"seconds": 1.0},
    }
    with open_dataset(path) as dataset:
        for words, said in cases.items():
            found = doubts(dataset, Twin({"training": said}, {}))
            assert [words in text for text in found] == ([True] if words else [])


def test_a_warning_reaches_log_metrics_and_page(example: CompareSettings) -> None:
    twin = read_twin(example.twin)
    write_twin(example.twin, {**twin.metadata, "training": {"scene_hash": "xyz"}}, twin.arrays)
    reporter = QuietReporter()
    result = compare(example, reporter)
    (warning,) = result["warnings"]
    assert any(warning in line for line in reporter.lines)
    assert warning in Path(result["report"]).read_text(encoding="utf-8")
    assert result["train_seconds"] is None


def test_progress_counts_the_views(tmp_path: Path) -> None:
    seen: list[tuple[str, float, float]] = []

    class Listener(QuietReporter):
        def progress(self, stage: str, done: float, total: float, **rest: object) -> None:
            seen.append((stage, done, total))

    (tmp_path / "images").mkdir()
    with open_dataset(write_grey_dataset(tmp_path / "grey.h5")) as dataset:
        measure_views(
            dataset,
            shown(grey(100)),
            how_to_show(dataset, None),
            tmp_path / "images",
            ErrorsOfObjects(dataset),
            Listener(),
        )
    assert seen == [("compare", 0, 2), ("compare", 1, 2), ("compare", 2, 2)]


def siblings(settings: CompareSettings) -> set[str]:
    return {path.name for path in Path(settings.output).parent.iterdir()}


def test_cancelling_leaves_the_earlier_report_as_it_was(example: CompareSettings) -> None:
    compare(example, QuietReporter())
    before = {path: path.read_bytes() for path in Path(example.output).rglob("*") if path.is_file()}
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled):
        compare(example, reporter)
    assert {path: path.read_bytes() for path in Path(example.output).rglob("*") if path.is_file()} == before
    assert siblings(example) == {"fog.h5", "fog.twin", "report"}


def test_cancelling_the_first_comparison_leaves_nothing(example: CompareSettings) -> None:
    reporter = QuietReporter()
    reporter.cancel_requested = True
    with pytest.raises(Cancelled):
        compare(example, reporter)
    assert siblings(example) == {"fog.h5", "fog.twin"}


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(
    example: CompareSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, metrics: dict[str, object]) -> None:
        (folder / "index.html").write_text("half of ")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_report", full)
    with pytest.raises(UserError, match="no space left") as failure:
        compare(example, QuietReporter())
    assert "\n" not in str(failure.value)
    assert siblings(example) == {"fog.h5", "fog.twin"}


def test_a_new_report_takes_the_place_of_the_old_one_and_keeps_other_peoples_files(example: CompareSettings) -> None:
    report = Path(compare(example, QuietReporter())["report"]).parent
    (report / "notes.txt").write_text("mine")
    (report / "images" / "classic_999.png").write_bytes(b"of a view that is gone")
    compare(example, QuietReporter())
    assert (report / "notes.txt").read_text() == "mine"
    assert not (report / "images" / "classic_999.png").exists()
    assert siblings(example) == {"fog.h5", "fog.twin", "report"}


@pytest.mark.parametrize("died", ["before the new one took its place", "afterwards"])
def test_an_earlier_report_survives_who_died_while_it_was_replaced(example: CompareSettings, died: str) -> None:
    compare(example, QuietReporter())
    output = Path(example.output)
    (output / "notes.txt").write_text("mine")
    beside = output.with_name(f".{output.name}.0123abcd.old")
    shutil.copytree(output, beside) if died == "afterwards" else output.rename(beside)
    (output / "notes.txt").unlink(missing_ok=True)
    theirs = output.with_name(f".{output.name}.theirs.old")
    theirs.write_text("of somebody else")
    with pytest.raises(ZeroDivisionError), report_folder(output):
        1 / 0  # noqa: B018
    assert (output / "notes.txt").read_text() == "mine" and (output / "index.html").is_file()
    assert not beside.exists() and theirs.exists()


def test_a_folder_of_other_things_is_refused_and_not_touched(example: CompareSettings) -> None:
    home = Path(example.output)
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="other things than a report"):
        compare(example, QuietReporter())
    assert [path.name for path in home.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_used(example: CompareSettings) -> None:
    Path(example.output).mkdir()
    assert Path(compare(example, QuietReporter())["report"]).is_file()


def test_a_file_in_the_reports_place_is_refused(example: CompareSettings) -> None:
    Path(example.output).write_text("a file")
    with pytest.raises(UserError, match="is a file"):
        compare(example, QuietReporter())
    assert Path(example.output).read_text() == "a file"


def test_a_report_that_cannot_be_written_is_refused_before_rendering(example: CompareSettings) -> None:
    settings = CompareSettings(example.dataset, example.twin, f"{example.twin}/report")
    reporter = QuietReporter()
    with pytest.raises(UserError, match="cannot write"):
        compare(settings, reporter)
    assert not reporter.stages


def test_without_test_views_there_is_no_judge(tmp_path: Path) -> None:
    path = write_grey_dataset(tmp_path / "grey.h5", splits={"train": [0, 1], "val": [2], "test": []})
    with pytest.raises(UserError, match="--test-views"):
        compare(CompareSettings(str(path), str(tmp_path / "x.twin"), str(tmp_path / "report")), QuietReporter())


def test_views_that_are_too_small_for_ssim_are_compared_without_it(originals: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.h5"
    tiny = np.tile(np.array([10, 10], np.int32), (6, 1))
    write_dataset(path, header(size=tiny), [ViewPixels(np.ones((10, 10, 4), np.float32)) for _ in range(6)])
    settings = CompareSettings(str(path), str(originals / "fog.twin"), str(tmp_path / "report"), "cpu")
    metrics = compare(settings, QuietReporter())
    assert [view["ssim"] for view in [metrics["mean"], *metrics["views"]]] == [None] * (1 + len(TEST))
    assert "SSIM –, FLIP 0." in metrics_in_words(metrics) and metrics["mean"]["psnr"] > 0


@pytest.mark.parametrize("which", ["dataset", "twin"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "foreign"])
def test_damaged_files_are_refused_in_one_line(example: CompareSettings, which: str, damage: str) -> None:
    path = Path(getattr(example, which))
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "foreign": b"GIF89a" * 50}[damage])
    with pytest.raises(UserError, match=path.name) as failure:
        compare(example, QuietReporter())
    assert "\n" not in str(failure.value)
    assert not Path(example.output).exists()
