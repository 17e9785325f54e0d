# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets as other programs write them, of smooth pictures whose every pixel is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from radiance_twin.core.cameras import look_at

WIDTH, HEIGHT = 40, 30
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def poses(count: int = 10, radius: float = 3.0) -> list[np.ndarray]:
    """Camera-to-world matrices [4, 4], OpenGL axes, around the origin."""
    angles = 2 * np.pi * np.arange(count) / count
    return [
        look_at((radius * np.cos(a) * 0.8, radius * np.sin(a) * 0.8, radius * 0.6), (0.0, 0.0, 0.0)) for a in angles
    ]


def points(count: int = 40) -> np.ndarray:
    """World points [N, 3] that all cameras of `poses` see."""
    return np.random.default_rng(0).uniform(-0.4, 0.4, (count, 3))


def picture(position: int = 0, width: int = WIDTH, height: int = HEIGHT, alpha: bool = True) -> np.ndarray:
    """[H, W, 3 or 4] uint8 with another corner colour for every position; transparent at the left when `alpha`."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    image = np.stack([u * 5, v * 8, np.full_like(u, 10 * position), np.where(u < width // 4, 0, 255)], axis=-1)
    image[:, width // 4, 3] = 128
    return (image if alpha else image[..., :3]).clip(0, 255).astype(np.uint8)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_json(path: Path, data: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def write_nerf(folder: Path, counts: dict[str, int] | None = None, angle: float = 0.7, radius: float = 4.031) -> Path:
    """NeRF-Synthetic: three JSONs, file names without ending, RGBA PNG."""
    counts = counts or {"train": 6, "val": 2, "test": 3}
    cameras = poses(sum(counts.values()), radius)
    position = 0
    for split, count in counts.items():
        frames = []
        for number in range(count):
            save(folder / split / f"r_{number}.png", picture(position))
            frames.append(
                {
                    "file_path": f"./{split}/r_{number}",
                    "rotation": 0.0,
                    "transform_matrix": cameras[position].tolist(),
                }
            )
            position += 1
        write_json(folder / f"transforms_{split}.json", {"camera_angle_x": angle, "frames": frames})
    return folder


def write_transforms(folder: Path, count: int = 10, alpha: bool = False, **top: Any) -> Path:
    """instant-ngp's and nerfstudio's transforms.json: what is in `top` tells them apart."""
    frames = []
    for position, matrix in enumerate(poses(count)):
        save(folder / "images" / f"{position:03d}.png", picture(position, alpha=alpha))
        frames.append({"file_path": f"images/{position:03d}.png", "transform_matrix": matrix.tolist()})
    intrinsics = {"fl_x": 45.0, "fl_y": 47.0, "cx": 20.5, "cy": 14.25, "w": WIDTH, "h": HEIGHT}
    return write_json(folder / "transforms.json", {**intrinsics, **top, "frames": frames})


def world_to_camera(camera_to_world: np.ndarray) -> np.ndarray:
    """[4, 4] with OpenCV axes, as COLMAP has it."""
    return np.linalg.inv(camera_to_world @ OPENCV_FROM_OPENGL)


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """w x y z of a rotation, by OpenCV's axis and angle."""
    turn = cv2.Rodrigues(rotation)[0][:, 0]
    angle = np.linalg.norm(turn)
    return np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * turn / max(angle, 1e-12)])


def write_colmap_text(
    folder: Path, model: str, parameters: tuple[float, ...], count: int = 10, cloud: int = 200
) -> Path:
    """sparse/0/*.txt and images/."""
    sparse = folder / "sparse" / "0"
    sparse.mkdir(parents=True)
    values = " ".join(str(value) for value in parameters)
    (sparse / "cameras.txt").write_text(f"# Camera list\n7 {model} {WIDTH} {HEIGHT} {values}\n")
    lines = ["# Image list with two lines of data per image:"]
    for position, matrix in enumerate(poses(count)):
        w2c = world_to_camera(matrix)
        numbers = " ".join(repr(float(one)) for one in (*quaternion(w2c[:3, :3]), *w2c[:3, 3]))
        lines += [f"{position + 1} {numbers} 7 part_a/{position:03d}.png", "" if position % 2 else "3.5 4.5 -1"]
        save(folder / "images" / "part_a" / f"{position:03d}.png", picture(position, alpha=False))
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    found = np.concatenate([points(cloud), [[50.0, 0.0, 0.0]]])
    rows = [f"{i + 1} {x} {y} {z} 9 9 9 0.5 1 0" for i, (x, y, z) in enumerate(found)]
    (sparse / "points3D.txt").write_text("# 3D points\n" + "\n".join(rows) + "\n")
    return folder


def write_colmap_binary(
    folder: Path, model: str, parameters: tuple[float, ...], count: int = 10, cloud: int = 200
) -> Path:
    """The same as binary files, rigs and frames among them: COLMAP itself reads our text and writes them."""
    import pycolmap

    write_colmap_text(folder, model, parameters, count, cloud)
    sparse = folder / "sparse" / "0"
    # pycolmap wants points whose keypoints know of them
    rows = (sparse / "points3D.txt").read_text().replace(" 1 0\n", "\n")
    (sparse / "points3D.txt").write_text(rows)
    reconstruction = pycolmap.Reconstruction()
    reconstruction.read_text(str(sparse))
    reconstruction.write_binary(str(sparse))
    for text in sparse.glob("*.txt"):
        text.unlink()
    return folder
