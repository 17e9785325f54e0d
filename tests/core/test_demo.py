# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo, run again in the folder of an earlier run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from radiance_twin.core import demo
from radiance_twin.core.rendering.render import RenderSettings
from radiance_twin.core.reporting import QuietReporter

from .analytic_scene import write


def test_what_an_earlier_run_has_rendered_is_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while it trained, it would otherwise begin with minutes of views that are there."""
    path = write(tmp_path / "still_life.h5", views=4, size=8)
    same = RenderSettings(
        scene=str(demo.SCENE), output=str(path), views=4, val_views=2, test_views=2, resolution=(8, 8)
    )
    asked: list[str] = []
    monkeypatch.setattr(demo, "_render_settings", lambda *_: same)
    monkeypatch.setattr(demo, "render_dataset", lambda *_: asked.append("render"))
    monkeypatch.setattr(demo, "train", lambda *_: asked.append("train"))
    monkeypatch.setattr(demo, "compare", lambda *_: {"asked": asked})
    # of another scene
    assert demo.demo(str(tmp_path), True, QuietReporter()) == {"asked": ["render", "train"]}
    asked.clear()
    monkeypatch.setattr(demo, "sha256_of_file", lambda scene: "0" * 64)
    reporter = QuietReporter()
    assert demo.demo(str(tmp_path), True, reporter) == {"asked": ["train"]}
    assert f"{path} is rendered already" in reporter.lines
    for other in ({"views": 5}, {"resolution": (8, 9)}, {"output": str(tmp_path / "other.h5")}):
        assert not demo._is_rendered(replace(same, **other))
    path.write_bytes(path.read_bytes()[:2000])
    assert not demo._is_rendered(same)
