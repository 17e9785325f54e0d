# SPDX-License-Identifier: GPL-3.0-or-later
"""The marcher in numpy that the shader is held against, against what is known exactly and against the dense one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from radiance_twin.core.bake.bricks import FEW, MANY, Bricks, bricks_of_grid, network_sizes
from radiance_twin.core.bake.march import deferred_light, inside_box, march_rays, render_bake, sample
from radiance_twin.core.cameras import Camera, look_at
from radiance_twin.core.field.directions import spherical_harmonics

INTRINSICS = np.array([60.0, 60.0, 12.0, 10.0])
SIZE = (24, 20)
# a cube of side 2 around the origin
WORLD = np.array([[2.0, 0, 0, -1], [0, 2.0, 0, -1], [0, 0, 2.0, -1], [0, 0, 0, 1]])


def strewn(n: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A dense grid with a solid, a veil and much empty space, nothing at the cube's faces."""
    rng = np.random.default_rng(2)
    density = np.zeros((n, n, n))
    density[4:14, 6:20, 3:9] = 90.0
    density[20:28, 5:27, 18:20] = rng.uniform(0.0, 6.0, (8, 22, 2))
    return density, rng.random((n, n, n, 3))


def test_samples_are_read_as_scipy_reads_logarithms_of_density_and_plain_colours() -> None:
    density, colour = strewn()
    bricks = bricks_of_grid(density, colour)
    random = np.random.default_rng(0)
    positions = random.random((2000, 3))
    found, values = sample(bricks, positions)
    shown = np.pad(np.log(np.maximum(density, 0.01)), 1, constant_values=np.log(0.01))
    where = positions.T * 32 + 0.5
    truth = np.exp(map_coordinates(shown, where, order=1))
    seen = truth > 0.01006
    # densities and colours were halves
    np.testing.assert_allclose(found[seen], truth[seen], rtol=1e-3)
    assert (found[~seen] == 0).all() and seen.sum() > 80
    for channel in range(3):
        light = map_coordinates(np.pad(colour[..., channel], 1), where, order=1)
        np.testing.assert_allclose(values[seen, channel], light[seen], atol=1e-3)


def test_a_cloud_is_as_opaque_as_its_integral_says() -> None:
    axis = (np.arange(64) + 0.5) / 64 - 0.5
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    bricks = bricks_of_grid(30.0 * np.exp(-(x**2 + y**2 + z**2) / (2 * 0.09**2)), np.ones((64, 64, 64, 3)))
    across = np.linspace(0.0, 0.3, 20)
    origins = np.stack([0.5 + across, np.full(20, 0.5), np.full(20, -1.0)], axis=1)
    rgba = march_rays(bricks, origins, np.full((20, 3), (0.0, 0.0, 1.0)))
    thickness = 30.0 * 0.09 * np.sqrt(2 * np.pi) * np.exp(-(across**2) / (2 * 0.09**2))
    np.testing.assert_allclose(rgba[:, 3], 1 - np.exp(-thickness), atol=4e-3)


def test_the_middle_of_a_voxel_has_its_value_and_a_missing_brick_none() -> None:
    density, colour = np.zeros((16, 16, 16)), np.full((16, 16, 16, 3), 0.5)
    density[3, 4, 5] = 8.0
    bricks = bricks_of_grid(density, colour)
    where = np.array([[3.5, 4.5, 5.5], [4.0, 4.5, 5.5], [12.5, 4.5, 5.5]]) / 16
    found, values = sample(bricks, where)
    # half way between 8 and 0.01, as logarithms
    assert found == pytest.approx([8.0, np.sqrt(0.08), 0.0])
    assert values[:, 0] == pytest.approx([0.5, 0.5, 0.0])


def test_rays_begin_and_end_where_they_are_told() -> None:
    density = np.full((16, 16, 16), 2.0)
    bricks = bricks_of_grid(density, np.ones((16, 16, 16, 3)))
    origins, directions = np.full((4, 3), [0.5, 0.5, -1.0]), np.full((4, 3), [0.0, 0.0, 3.0])
    alpha = march_rays(bricks, origins, directions, first=[0.0, 1.25, 1.25, 1.8], last=[9.0, 9.0, 1.75, 1.2])[:, 3]
    # the sample in the last half of a voxel before a face is a quarter of the way to nothing
    last_one = 2.0**0.75 * 0.01**0.25
    thickness = 2.0 * np.array([1.0 - 2 / 32, 0.75 - 1 / 32, 0.5, 0.0]) + np.array([2, 1, 0, 0]) * last_one / 32
    assert alpha == pytest.approx(1 - np.exp(-thickness), abs=1e-4)


def test_a_box_is_entered_and_left() -> None:
    entry, leave = inside_box([[-1.0, 0.5, 0.5], [0.5, 0.5, 0.5], [2.0, 0.5, 0.5], [-1, 3, 0]], [[1.0, 0, 0]] * 4)
    assert entry[:2] == pytest.approx([1.0, 0.0]) and leave[:2] == pytest.approx([2.0, 0.5])
    assert (entry[2:] >= leave[2:]).all()


def test_the_network_is_told_means_and_directions_and_adds_light() -> None:
    rng = np.random.default_rng(7)
    network = {name: rng.normal(0.0, 0.5, size).astype(np.float32) for name, size in network_sizes(FEW).items()}
    alpha, colour, features = rng.random(50), rng.random((50, 3)), rng.random((50, 8))
    directions = rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    light = deferred_light(network, alpha, colour, features, directions)
    # the same again with torch, from the words of the contract
    band = spherical_harmonics(torch.tensor(directions))[:, 4:9]
    a, c, f = (torch.tensor(values) for values in (alpha[:, None], colour, features))
    x = torch.cat([f / a, (c / a) / (1 + c / a), torch.tensor(directions), band], dim=1).float()
    weights = {name: torch.tensor(array) for name, array in network.items()}
    for layer in "12":
        x = torch.relu(x @ weights[f"w{layer}"] + weights[f"b{layer}"])
    expected = torch.relu(c + a * (x @ weights["w3"] + weights["b3"]))
    np.testing.assert_allclose(light, expected.numpy(), atol=1e-5)
    assert np.abs(light - colour).max() > 0.1


def test_told_many_features_the_network_says_the_logarithm_of_all_light() -> None:
    rng = np.random.default_rng(8)
    network = {name: rng.normal(0.0, 0.3, size).astype(np.float32) for name, size in network_sizes(MANY).items()}
    alpha, features, directions = rng.random(50), rng.random((50, MANY)), rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    light = deferred_light(network, alpha, rng.random((50, 3)), features, directions)
    a, weights = torch.tensor(alpha[:, None]), {name: torch.tensor(array) for name, array in network.items()}
    x = torch.cat([torch.tensor(features) / a, spherical_harmonics(torch.tensor(directions))[:, 1:]], dim=1).float()
    for layer in "12":
        x = torch.relu(x @ weights[f"w{layer}"] + weights[f"b{layer}"])
    expected = a * torch.exp((x @ weights["w3"] + weights["b3"]).clamp(max=11.0))
    np.testing.assert_allclose(light, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert light.std() > 0.1


def test_highlights_turn_with_the_view_and_nothing_is_added_where_nothing_is() -> None:
    density, colour = strewn()
    plain = bricks_of_grid(density, colour)
    rng = np.random.default_rng(3)
    network = {name: rng.normal(0.0, 0.5, size).astype(np.float32) for name, size in network_sizes(FEW).items()}
    features = rng.integers(0, 256, (*plain.density.shape, 8)).astype(np.uint8)
    shiny: Bricks = replace(plain, features=features, network=network)
    differences = []
    for eye in ([3.0, 2.0, 1.5], [-3.0, -2.0, 1.5]):
        camera = Camera(look_at(eye, [0, 0, 0]), INTRINSICS, SIZE)
        one, other = (render_bake(bricks, WORLD, camera) for bricks in (plain, shiny))
        assert (one[..., 3] == other[..., 3]).all()
        assert (other[one[..., 3] == 0] == 0).all()
        solid = one[..., 3] > 0.99
        differences.append((other - one)[solid][:, :3].mean(axis=0))
    assert np.abs(differences[0] - differences[1]).max() > 0.02
