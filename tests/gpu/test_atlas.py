# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shader reads of a bake: the atlas, filled block by block, the index, and bakes that fit a small GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radiance_twin.addon.viewport import atlas
from radiance_twin.addon.viewport.atlas import contents_of, index_texels, layout_of, upload, uploading
from radiance_twin.core.bake.bricks import FEW, MANY, with_borders
from radiance_twin.core.errors import UserError


def texels_of(texture: Any) -> NDArray[np.float32]:
    """[x, y, z, channels] that a 3D texture holds."""
    buffer = texture.read()
    shape = tuple(buffer.dimensions)
    buffer.dimensions = int(np.prod(shape))
    # a byte a channel is read as such
    values = np.array(buffer.to_list(), np.float32).reshape(shape)
    return np.swapaxes(values, 0, 2)


@pytest.mark.parametrize("features", [FEW, MANY])
def test_each_brick_lies_with_its_border_where_the_index_says(gpu, random_bricks, features):
    bricks = random_bricks(1, 32, 0.5, features)
    made = upload(bricks)
    light = texels_of(made.light)
    told = np.concatenate([texels_of(four) for four in made.features], axis=-1)
    index = texels_of(made.index).astype(np.int64)
    assert light.shape[:3] == tuple(10 * side for side in made.layout)
    expected_light, expected_features = (np.zeros((bricks.count, 10, 10, 10, n), np.float32) for n in (4, features))
    rows = np.arange(bricks.count)
    with_borders(bricks, bricks.colour, rows, expected_light[..., :3])
    with_borders(bricks, bricks.density, rows, expected_light[..., 3])
    with_borders(bricks, bricks.features, rows, expected_features)
    x, y, _ = made.layout
    for number, place in enumerate(bricks.places):
        high = index[tuple(place)] >> 16
        row = int((high << (6 * np.arange(4))).sum())
        assert row == number
        at = tuple(slice(10 * i, 10 * i + 10) for i in (row % x, row // x % y, row // (x * y)))
        assert (light[at][..., :3] == expected_light[number][..., :3]).all()
        assert np.abs(light[at][..., 3] - np.log(np.maximum(expected_light[number][..., 3], 0.01))).max() < 4e-3
        assert np.abs(told[at] * (1.0 if told.max() > 1.0 else 255.0) - expected_features[number]).max() < 0.01


def test_the_index_tells_what_is_empty(random_bricks):
    bricks = random_bricks(2, 64, 0.02)
    texels = index_texels(bricks).astype(np.int64)
    assert texels.max() < 1 << 22
    empty = (texels & 0xFFFF == 0).all(axis=-1)
    assert (empty == (bricks.index < 0)).all()
    where = np.argwhere(~empty)
    for place in np.argwhere(empty)[::7]:
        assert texels[tuple(place)][0] >> 16 == np.abs(where - place).max(axis=1).min()


@pytest.mark.parametrize("count", [1, 2, 5, 9, 100, 1001, 30000])
def test_an_atlas_is_nearly_a_cube_and_wastes_little(count):
    x, y, z = layout_of(count)
    assert count <= x * y * z < count + 2 * x * x
    assert max(x, y, z) <= np.ceil(np.cbrt(count)) + 1


def test_an_upload_goes_on_step_by_step(gpu, random_bricks, monkeypatch):
    monkeypatch.setattr(atlas, "BLOCK", 7)
    bricks = random_bricks(1, 32, 0.5)
    steps = uploading(contents_of(bricks))
    parts = []
    while True:
        try:
            parts.append(next(steps))
        except StopIteration as done:
            made = done.value
            break
    assert len(parts) == -(-bricks.count // 7) > 3
    assert parts == sorted(parts) and parts[-1] == 1.0
    whole = upload(bricks)
    x, y, z = made.layout
    # what lies behind the last brick was never filled
    filled = bricks.count > np.arange(x * y * z).reshape(z, y, x).T
    same = texels_of(made.light) == texels_of(whole.light)
    assert same[np.kron(filled, np.ones((10, 10, 10), bool)).astype(bool)].all()


def test_a_bake_that_the_gpu_refuses_is_halved(gpu, blob, monkeypatch):
    real = atlas.new_atlas

    def small_gpu(layout: Any, pixel_format: Any) -> Any:
        if max(layout) > 2:
            raise RuntimeError("out of memory")
        return real(layout, pixel_format)

    monkeypatch.setattr(atlas, "new_atlas", small_gpu)
    made = upload(blob.bricks(64))
    assert (made.resolution, made.halvings) == (16, 2)


def test_a_gpu_that_takes_nothing_is_told_of(gpu, blob, monkeypatch):
    def no_gpu(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(atlas, "new_atlas", no_gpu)
    with pytest.raises(UserError, match="takes no volume"):
        upload(blob.bricks(32))
