# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: one page that needs nothing else, says things in plain words, and cannot be broken by a name."""

import base64
import copy
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radiance_twin.core.comparison import picture, report, words

HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> &amp; \"'`${x}\u2028 @DATA@ @TITLE@ \\1"


TURNTABLE = {
    "file": "turntable.mp4",
    "frames": 24,
    "rate": 8,
    "size": [20, 16],
    "sides": ["Cycles", "Radiance Twin", "FLIP difference"],
    "psnr": 30.0,
    "classic_seconds": 3.0,
    "neural_seconds": 0.25,
}


def view(index: int, psnr: float | None = 30.0, flip: float = 0.03) -> dict[str, Any]:
    return {
        "index": index,
        "frame": 1,
        "psnr": psnr,
        "psnr_foreground": psnr,
        "ssim": 0.95,
        "flip": flip,
        "foreground": 0.4,
        "size": [20, 16],
        "classic_seconds": 3.0,
        "classic_samples": 128,
        "neural_seconds": 0.25,
        "images": {kind: f"images/{kind}_{index:03d}.png" for kind in ("classic", "neural", "flip")},
    }


def metrics(views: list[dict[str, Any]], scene: str = "still_life", **changes: Any) -> dict[str, Any]:
    psnr = views[0]["psnr"]
    return {
        "format": "radiance-twin-metrics",
        "version": 1,
        "dataset": {"path": "a/scene.h5", "sha256": "0" * 64, "scene": scene, "blender": "4.5.0"},
        "twin": {"path": "a/scene.twin", "sha256": "1" * 64},
        "view_transform": {"display": "sRGB", "view": "AgX", "look": "None", "exposure": 0.0, "gamma": 1.0},
        "background": [0.0, 0.0, 0.0],
        "mean": {"psnr": psnr, "psnr_foreground": psnr, "ssim": 0.95, "flip": 0.03},
        "noise_floor": {"index": views[0]["index"], "psnr": 42.0, "psnr_foreground": 38.0, "ssim": 0.99, "flip": 0.01},
        "views": views,
        "bytes": {"scene": 10, "dataset": 20, "twin": 30},
        "train_seconds": 120.0,
        "noise_ladder": {
            "index": views[0]["index"],
            "denoised": True,
            "rungs": [{"samples": n, "seconds": 0.1 * n, "psnr": 20.0 + n} for n in (1, 4, 16)],
        },
        "training": {"seconds": 120.0, "whole_seconds": 150.0, "history": [[1.0, 15.0], [100.0, 29.0]], "psnr": 30.0},
        "costs": {
            "dataset_views": 9,
            "dataset_seconds": 50.0,
            "train_seconds": 150.0,
            "fixed_seconds": 200.0,
            "neural_seconds": 0.25,
            "classic": [
                {"what": "reference", "samples": 128.0, "seconds": 3.0, "psnr": 36.0, "break_even_frames": 73},
                {"what": "same_psnr", "samples": 9.5, "seconds": 0.2, "psnr": 30.0, "break_even_frames": None},
            ],
        },
        "turntable": None,
        "objects": [{"index": 3, "names": ["Teapot"], "psnr": 22.0, "flip": 0.1, "pixels": 99, "views": 2}],
        "machine": {"processor": "x", "system": "y", "cores": 2, "device": "cpu", "python": "3", "torch": "2"},
        "warnings": [],
        **changes,
    }


def write_images(folder: Path, views: list[dict[str, Any]]) -> None:
    """A red square on black as classic, a slightly darker one as neural."""
    (folder / "images").mkdir()
    for entry in views:
        for kind, red in (("classic", 200), ("neural", 180), ("flip", 30)):
            pixels = np.zeros((16, 20, 3), np.uint8)
            pixels[6:11, 8:13, 0] = red + np.arange(5)
            Image.fromarray(pixels).save(folder / entry["images"][kind])


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.texts:
            self.texts[self._inside][-1] += data

    @property
    def data(self) -> dict[str, Any]:
        assert [tag.get("type") for name, tag in self.tags if name == "script"] == ["application/json", None]
        return json.loads(self.texts["script"][0])


def written(folder: Path, views: list[dict[str, Any]], **changes: Any) -> tuple[Page, dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    write_images(folder, views)
    (folder / "turntable.mp4").write_bytes(b"a film")
    result = metrics(views, **changes)
    report.write_report(folder, result)
    return Page((folder / "index.html").read_text(encoding="utf-8")), result


def test_the_page_carries_its_data_and_its_pictures(tmp_path: Path) -> None:
    page, result = written(tmp_path, [view(7), view(9)])
    assert page.data["metrics"] == result
    for index in ("7", "9"):
        for kind, address in page.data["sources"][index].items():
            head, _, body = address.partition(",")
            assert head == "data:image/png;base64"
            inside = Image.open(io.BytesIO(base64.b64decode(body)))
            beside = Image.open(tmp_path / "images" / f"{kind}_{int(index):03d}.png")
            assert np.array_equal(np.asarray(inside), np.asarray(beside))
    assert json.loads((tmp_path / "metrics.json").read_text()) == result


def test_the_page_works_without_any_network(tmp_path: Path) -> None:
    page, _ = written(tmp_path, [view(0)], turntable=TURNTABLE)
    assert "data:" in page.data["film"]
    policy = next(tag["content"] for name, tag in page.tags if name == "meta" and "http-equiv" in tag)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for name, attributes in page.tags:
        assert name not in ("iframe", "object", "embed", "base")
        for key in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(key) or "data:").startswith("data:")
    for style in page.texts["style"]:
        assert "url(" not in style
        assert "@import" not in style
    addresses = set(re.findall(r"https?://[^\"' ]+", page.texts["script"][1]))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|sendBeacon)\b *\(", page.texts["script"][1])


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    harmless, _ = written(tmp_path / "a", [view(0)])
    thing = {"index": 3, "names": [HOSTILE], "psnr": 22.0, "flip": 0.1, "pixels": 99, "views": 2}
    page, result = written(tmp_path / "b", [view(0)], scene=HOSTILE, warnings=[HOSTILE], objects=[thing])
    assert page.data["metrics"] == result
    assert page.data["metrics"]["dataset"]["scene"] == HOSTILE
    assert page.texts["title"] == [f"{HOSTILE} – Radiance Twin"]
    # the same elements, the same program: the name has become text and nothing else
    assert page.tags == harmless.tags
    assert page.texts["script"][1] == harmless.texts["script"][1]


def test_texts_enter_the_page_as_text_only() -> None:
    program = (report.HERE / "report.html").read_text(encoding="utf-8")
    program += (report.HERE / "report.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", program)


def test_every_placeholder_is_filled(tmp_path: Path) -> None:
    written(tmp_path, [view(0)])
    assert not re.search("@[A-Z_]+@", (tmp_path / "index.html").read_text(encoding="utf-8"))


def test_a_page_that_grows_too_large_takes_the_best_views_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [view(0, flip=0.01), view(1, flip=0.2), view(2, flip=0.1)]
    write_images(tmp_path, views)
    each = sum((tmp_path / name).stat().st_size for name in views[0]["images"].values())
    monkeypatch.setattr(report, "MOST_INLINE_BYTES", 2 * each)
    sources = report.image_sources(report.Room(tmp_path), metrics(views))
    assert sources[0] == views[0]["images"]
    for index in (1, 2):
        assert all(address.startswith("data:") for address in sources[index].values())


def test_a_film_is_carried_unless_it_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, _ = written(tmp_path / "small", [view(0)], turntable=TURNTABLE)
    head, _, body = page.data["film"].partition(",")
    assert head == "data:video/mp4;base64"
    assert base64.b64decode(body) == b"a film"
    monkeypatch.setattr(report, "MOST_INLINE_BYTES", 5)
    page, _ = written(tmp_path / "large", [view(0)], turntable=TURNTABLE)
    assert page.data["film"] == "turntable.mp4"
    # its place is the report's folder, where the page may look
    policy = next(tag["content"] for name, tag in page.tags if name == "meta" and "http-equiv" in tag)
    assert "media-src data: 'self' file:" in (policy or "")


def test_the_worst_view_is_the_one_whose_difference_is_seen_most() -> None:
    views = [view(0, psnr=20.0, flip=0.1), view(1, psnr=25.0, flip=0.3), view(2, psnr=None, flip=0.0)]
    assert [entry["index"] for entry in report.worst_first(views)] == [1, 0, 2]


def test_identical_views_have_no_number_and_do_not_break_the_page(tmp_path: Path) -> None:
    page, _ = written(tmp_path, [view(0, psnr=None, flip=0.0)], noise_floor=None, train_seconds=None)
    assert page.data["metrics"]["mean"]["psnr"] is None
    assert page.data["verdict"].startswith("Identical to Cycles")


def said(psnr: float | None, **changes: Any) -> str:
    return words.verdict(metrics([view(0, psnr=psnr)], **changes))


def test_the_verdict_is_one_line_in_plain_words() -> None:
    assert said(45.0, noise_floor=None).startswith("Hard to tell from Cycles")
    assert said(35.0).startswith("Very close to Cycles")
    assert said(30.0).startswith("Close to Cycles")
    assert said(25.0).startswith("A fair likeness of Cycles")
    assert said(12.0).startswith("Not yet a likeness of Cycles")
    assert said(38.5).startswith("As close to Cycles as a second Cycles render")


def test_the_verdict_judges_the_foreground() -> None:
    """37 dB over the whole frame is no merit when the frame is mostly empty."""
    result = metrics([view(0, psnr=37.0)])
    result["mean"]["psnr_foreground"] = 24.0
    assert words.verdict(result).startswith("A fair likeness")
    result["mean"]["psnr_foreground"] = None
    assert words.verdict(result).startswith("Very close")


def test_the_verdict_is_honest_about_time() -> None:
    def after(classic: float, neural: float) -> str:
        entry = {**view(0), "classic_seconds": classic, "neural_seconds": neural}
        return words.verdict(metrics([entry])).partition("; ")[2]

    assert after(3.0, 0.25) == "12 times as fast per frame."
    assert after(3.0, 2.0) == "1.5 times as fast per frame."
    assert after(1.0, 4.0) == "each frame takes 4.0 times as long."
    assert after(1.0, 1.01) == "as fast per frame."
    assert after(0.0, 1.0) == ""  # imported pictures know no seconds


def test_what_pays_off_is_said_in_sentences() -> None:
    first, second = words.pays_off(metrics([view(0)]))
    assert first == (
        "Against Cycles with 128 samples, the reference, the twin pays off from 73 frames on, "
        "which is 3.0 s of film at 24 frames a second."
    )
    # 9.5 samples are as good as the twin and quicker
    assert "about 10 samples, as far from the reference as the twin is, the twin never pays off" in second
    assert "its frame takes 250 ms, that of Cycles 200 ms" in second


@pytest.mark.parametrize(
    ("samples", "rival"),
    [(1, "a single sample, closer to the"), (1.2, "about 1 sample, as far"), (2.4, "about 2 samples, as far")],
)
def test_samples_are_counted_as_people_count(samples: float, rival: str) -> None:
    costs = metrics([view(0)])["costs"]
    way = {**costs["classic"][1], "samples": samples}
    (sentence,) = words.pays_off(metrics([view(0)], costs={**costs, "classic": [way]}))
    assert f"Cycles with {rival}" in sentence


def test_what_is_not_known_is_not_promised() -> None:
    costs = metrics([view(0)])["costs"]
    (unknown,) = words.pays_off(metrics([view(0)], costs={**costs, "classic": []}))
    assert "does not say how long its pictures took" in unknown
    (silent,) = words.pays_off(metrics([view(0)], costs={**costs, "fixed_seconds": None}))
    assert "does not say how long its training took" in silent
    assert words.pays_off({"mean": {}}) == []  # metrics.json of an earlier version
    assert words.pays_off_in_short({"mean": {}}) == ""
    assert words.pays_off_in_short(metrics([view(0)])) == "from 73 frames"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "40 ms"), (3.21, "3.2 s"), (125.0, "2 min 5 s"), (119.9, "1 min 59 s"), (12_000.0, "3 h 20 min")],
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_pictures_from_elsewhere_are_not_called_cycles(tmp_path: Path) -> None:
    result = metrics([view(0)])
    result["dataset"] = {**result["dataset"], "blender": "", "scene": ""}
    assert words.classic_name(result) == "Reference"
    assert "Cycles" not in words.verdict(result)
    assert words.title(result) == "scene"


def test_the_picture_shows_both_sides_unfiltered(tmp_path: Path) -> None:
    _, result = written(tmp_path, [view(0)])
    sheet = np.asarray(Image.open(tmp_path / "classic_neural.png").convert("RGB"))
    for kind in ("classic", "neural"):
        original = Image.open(tmp_path / result["views"][0]["images"][kind])
        left, top, right, bottom = picture.subject_box(original)
        pixels = np.asarray(original)[top:bottom, left:right]
        zoom = picture.SIDE // max(pixels.shape)
        enlarged = pixels.repeat(zoom, 0).repeat(zoom, 1)
        assert holds(sheet, enlarged), kind


def holds(sheet: np.ndarray, part: np.ndarray) -> bool:
    """Whether `part` stands somewhere in `sheet`."""
    height, width = part.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(sheet, part.shape)[..., 0, :, :, :]
    rows, columns = np.nonzero((windows[..., height // 2, width // 2, :] == part[height // 2, width // 2]).all(-1))
    return any(np.array_equal(windows[row, column], part) for row, column in zip(rows, columns, strict=True))


def test_the_picture_is_cropped_to_the_subject() -> None:
    pixels = np.full((100, 200, 3), 40, np.uint8)
    pixels[30:60, 120:150] = 200
    assert picture.subject_box(Image.fromarray(pixels)) == (110, 20, 160, 70)
    assert picture.subject_box(Image.fromarray(np.full((9, 7, 3), 40, np.uint8))) == (0, 0, 7, 9)
    pixels[:, 100:] = 90
    pixels[:, :3] = 7
    pixels[0, 0] = 3
    assert picture.subject_box(Image.fromarray(pixels)) == (0, 0, 200, 100)


def test_the_picture_is_of_a_middling_view() -> None:
    views = [view(index, flip=flip) for index, flip in enumerate([0.5, 0.1, 0.3])]
    shuffled = copy.deepcopy(views)
    assert picture.median_view(views)["index"] == 2
    assert views == shuffled


def test_no_name_can_leave_the_script_that_it_stands_in() -> None:
    named = {"scene": "</script><!-- &lt; --><script>alert(1)"}
    text = report.json_for_html(named)
    assert not set("<>&") & set(text) and json.loads(text) == named
