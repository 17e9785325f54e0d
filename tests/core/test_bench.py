# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the figures of a bench of rendering."""

import pytest

from radiance_twin.core.rendering.bench import bench_in_words, bench_render
from radiance_twin.core.rendering.render import RenderSettings
from radiance_twin.core.reporting import QuietReporter


@pytest.mark.parametrize("leaked", [0.0, 1.0])
def test_growth_is_not_what_swings_from_view_to_view(leaked: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 MB that go up and down by 30, and `leaked` MB more with each of 300 views."""
    memory = [round((500 + 30 * (-1) ** number + leaked * number) * 1e6) for number in range(300)]
    shares = {"sampling_share": None, "denoising_share": None, "resolution": [32, 32]}
    answer = {"views": 300, "first_seconds": 1.0, "seconds": 9.0, "truth_seconds": 1.0, "device": "CPU", **shares}
    monkeypatch.setattr("radiance_twin.core.rendering.bench.ask_blender", lambda *_: {**answer, "memory": memory})
    found = bench_render(RenderSettings(scene="a.blend", output="a.h5", views=300), QuietReporter())
    assert found["memory_growth"] == pytest.approx(200e6 * leaked) and found["memory"] == memory[-1]


@pytest.mark.parametrize(
    ("sampling", "denoising", "said"),
    [(0.8, 0.15, "5.0% of the time"), (1.2, 0.1, "cannot be told"), (0.9, -0.2, "cannot be told")],
)
def test_shares_that_cannot_be_are_not_told(
    sampling: float, denoising: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other work on the machine makes one render of a pair slower than the other."""
    shares = {"sampling_share": sampling, "denoising_share": denoising, "resolution": [32, 32], "memory": []}
    answer = {"views": 9, "first_seconds": 1.0, "seconds": 9.0, "truth_seconds": 0.4, "device": "CPU", **shares}
    monkeypatch.setattr("radiance_twin.core.rendering.bench.ask_blender", lambda *_: answer)
    found = bench_render(RenderSettings(scene="a.blend", output="a.h5"), QuietReporter())
    assert f"Besides Cycles' own sampling and denoising: {said}" in bench_in_words(found)
