# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of every kind become scene-linear and premultiplied; what is broken or absurd is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from radiance_twin.core.dataset.readers.pictures import check_picture, picture_size, read_depth, read_grey, read_picture
from radiance_twin.core.dataset.readers.posed import Unsound


def linear(level: float) -> float:
    """IEC 61966-2-1."""
    return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4


def gradient(*shape: int, high: int = 255) -> np.ndarray:
    return np.linspace(0, high, int(np.prod(shape))).reshape(shape).astype(np.uint16 if high > 255 else np.uint8)


def test_straight_alpha_becomes_premultiplied_light(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[200, 100, 0, 51], [255, 255, 255, 0]]], np.uint8)).save(tmp_path / "a.png")
    assert check_picture(tmp_path / "a.png")
    expected = [[linear(200 / 255) * 0.2, linear(100 / 255) * 0.2, 0.0, 0.2], [0.0, 0.0, 0.0, 0.0]]
    np.testing.assert_allclose(read_picture(tmp_path / "a.png")[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_precision(channels: int, name: str, tmp_path: Path) -> None:
    image = gradient(5, 7, channels, high=65535)
    stored = image[..., [2, 1, 0, 3][:channels]] if channels >= 3 else image
    assert cv2.imwrite(str(tmp_path / name), stored)
    rgba = read_picture(tmp_path / name)
    alpha = image[..., 3] / 65535 if channels == 4 else np.ones((5, 7))
    np.testing.assert_allclose(rgba[..., 3], alpha, atol=1e-6)
    for channel in range(3):
        levels = image[..., min(channel, channels - 1)] / 65535
        np.testing.assert_allclose(rgba[..., channel], np.vectorize(linear)(levels) * alpha, atol=2e-6)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_every_mode_of_a_png(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(gradient(6, 9, 4)).convert(mode)
    image.save(tmp_path / "a.png")
    seen = np.asarray(image.convert("RGBA")) / 255.0
    rgba = read_picture(tmp_path / "a.png")
    expected = np.vectorize(linear)(seen[..., :3]) * seen[..., 3:]
    np.testing.assert_allclose(rgba[..., :3], expected, atol=1e-5)
    assert check_picture(tmp_path / "a.png") == bool((seen[..., 3] < 1).any())


def test_jpeg_ignores_the_camera_s_orientation(tmp_path: Path) -> None:
    # poses belong to the pixels as they are stored; COLMAP and the trainers read them so
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient(6, 9, 3)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert picture_size(tmp_path / "a.jpg") == (9, 6) and read_picture(tmp_path / "a.jpg").shape == (6, 9, 4)


def test_exr_and_hdr_are_linear_already(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).uniform(0, 9, (5, 8, 4)).astype(np.float32)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGBA": pixels}) as file:
        file.write(str(tmp_path / "a.exr"))
    assert picture_size(tmp_path / "a.exr") == (8, 5)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.exr"), pixels)
    cv2.imwrite(str(tmp_path / "a.hdr"), pixels[..., [2, 1, 0]])
    assert picture_size(tmp_path / "a.hdr") == (8, 5)
    np.testing.assert_allclose(read_picture(tmp_path / "a.hdr")[..., :3], pixels[..., :3], atol=9 / 128)
    assert (read_picture(tmp_path / "a.hdr")[..., 3] == 1).all()


def test_depth_of_every_kind(tmp_path: Path) -> None:
    depth = gradient(4, 5, high=60000)
    Image.fromarray(depth).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", depth.astype(np.float64) / 7)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": depth.astype(np.float32)}) as file:
        file.write(str(tmp_path / "a.exr"))
    np.testing.assert_array_equal(read_depth(tmp_path / "a.png"), depth)
    np.testing.assert_array_equal(read_depth(tmp_path / "a.exr"), depth)
    np.testing.assert_allclose(read_depth(tmp_path / "a.npy"), depth / 7)
    np.save(tmp_path / "b.npy", np.array([{"an": "object"}]), allow_pickle=True)
    with pytest.raises(Unsound):
        read_depth(tmp_path / "b.npy")
    Image.fromarray(gradient(4, 5, 3)).save(tmp_path / "colour.png")
    with pytest.raises(Unsound, match="depth"):
        read_depth(tmp_path / "colour.png")


def layered(path: Path, *parts: dict[str, np.ndarray], names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """An OpenEXR file of one or several parts, with channels as named."""
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    made = [OpenEXR.Part({**head, "name": name}, dict(channels)) for channels, name in zip(parts, names, strict=False)]
    with OpenEXR.File(made) as file:
        file.write(str(path))
    return path


def test_depth_lies_in_a_layer_of_its_own_in_one_part_or_several(tmp_path: Path) -> None:
    depth, other = gradient(4, 5, high=6000).astype(np.float32), np.full((4, 5), 7.0, np.float32)
    colours = {f"ViewLayer.Combined.{letter}": other for letter in "RGBA"}
    normals = {f"ViewLayer.Normal.{letter}": other for letter in "XYZ"}
    passes = {"ViewLayer.Depth.Z": depth}
    for number, parts in enumerate(
        (
            ({**colours, **normals, **passes},),  # Blender 4.5
            (colours, normals, passes),  # Blender 5
            ({"depth.V": depth, "normal.X": other},),
            ({"R": other, "G": other, "B": other, "Z": depth},),
        )
    ):
        path = layered(tmp_path / f"{number}.exr", *parts)
        np.testing.assert_array_equal(read_depth(path), depth)
        if number in (0, 1, 3):
            assert (read_picture(path)[..., :3] == 7.0).all()
    path = layered(tmp_path / "parts.exr", {"R": other, "G": other, "B": other}, {"Y": depth}, names=("rgb", "depth"))
    np.testing.assert_array_equal(read_depth(path), depth)
    # where nothing was hit, Blender writes 1e10
    far = np.where(depth > 3000.0, np.float32(1e10), depth)
    far[0, 0] = np.nan
    read = read_depth(layered(tmp_path / "far.exr", {"ViewLayer.Depth.Z": far}))
    np.testing.assert_array_equal(read, np.where(far > 3000.0, 0.0, far), "what is no number is for others to tell")
    with pytest.raises(Unsound, match=r"no layer named depth or z \(its layers: ViewLayer.Normal\)"):
        read_depth(layered(tmp_path / "none.exr", normals))


def test_masks_may_be_of_any_mode(tmp_path: Path) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[:, 3:] = 255
    for mode in ("L", "1", "RGB", "P", "LA"):
        Image.fromarray(mask).convert(mode).save(tmp_path / "m.png")
        np.testing.assert_array_equal(read_grey(tmp_path / "m.png") > 0, mask > 0)


def huge_png(path: Path, width: int, height: int) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = b"IEND"
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, end)]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    huge_png(tmp_path / "a.png", 100_000, 100_000)
    (tmp_path / "a.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 400000 +X 400000\n")
    for name in ("a.png", "a.hdr"):
        for read in (picture_size, check_picture, read_picture, read_grey):
            with pytest.raises(Unsound, match="pixels|picture"):
                read(tmp_path / name)


@pytest.mark.parametrize("kind", ["png", "16.png", "jpg", "webp", "tiff", "exr", "hdr", "npy"])
def test_broken_files_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    if kind == "exr":
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"RGB": image.astype(np.float32)}) as file:
            file.write(str(path))
    elif kind == "npy":
        np.save(path, image)
    elif kind in ("16.png", "hdr"):
        cv2.imwrite(str(path), image.astype(np.uint16) * 257 if kind == "16.png" else image.astype(np.float32))
    else:
        Image.fromarray(image).save(path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:length])
        with pytest.raises(Unsound):
            (read_depth if kind == "npy" else check_picture)(path)
