# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset that is what it says it is, and one that is not: rendered again by a Blender that is none."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from radiance_twin.core.dataset.checksums import seal_attributes
from radiance_twin.core.errors import UsageError, UserError
from radiance_twin.core.rendering.render import RenderSettings, render_dataset
from radiance_twin.core.rendering.verify import VerifySettings, verify
from radiance_twin.core.reporting import QuietReporter


@pytest.fixture
def rendered(tmp_path: Path, fake_blender: str) -> VerifySettings:
    """Five views, rendered."""
    scene, output = tmp_path / "scene.blend", tmp_path / "scene.h5"
    scene.write_bytes(b"BLENDER-v405")
    counts = {"views": 5, "val_views": 0, "test_views": 0}
    render_dataset(RenderSettings(scene=scene, output=output, blender=fake_blender, **counts), QuietReporter())
    return VerifySettings(str(output), str(scene), views=3, blender=fake_blender)


def test_what_can_be_rendered_again_is_verified(rendered: VerifySettings, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    result = verify(rendered, QuietReporter())
    assert (result["views"], result["indices"]) == (3, [0, 2, 4])
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_changed_pixel_is_found_and_named(rendered: VerifySettings) -> None:
    with h5py.File(rendered.dataset, "r+") as file:
        file["views/depth"][2, 1, 1] += 0.25
        # whoever changes pixels may change their hash as well
        file["views/sha256"][2] = b"0" * 64
    with pytest.raises(UserError, match="view 2 is not what it was: depth differs by up to 0.25 in 6.2% of the pixels"):
        verify(rendered, QuietReporter())


def test_another_scene_and_no_view_are_refused(rendered: VerifySettings, tmp_path: Path) -> None:
    with h5py.File(rendered.dataset, "r+") as file:
        file.attrs["scene_hash"] = "1" * 64
        seal_attributes(file)
    with pytest.raises(UserError, match="scene.blend is not the file that .*scene.h5 was rendered from"):
        verify(rendered, QuietReporter())
    with pytest.raises(UsageError, match="--views is 0; it must be at least 1"):
        verify(VerifySettings(rendered.dataset, rendered.scene, views=0), QuietReporter())
    with h5py.File(rendered.dataset, "r+") as file:
        file.attrs["configuration"] = "{}"
        seal_attributes(file)
    with pytest.raises(UserError, match="was imported, not rendered"):
        verify(rendered, QuietReporter())
