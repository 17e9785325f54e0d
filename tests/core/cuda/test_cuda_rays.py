# SPDX-License-Identifier: GPL-3.0-or-later
"""The rays that the CUDA kernels draw, and the samples that they take along them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from radiance_twin.core.cameras import ray_directions
from radiance_twin.core.field.cuda.signatures import Choice, Counter, Setting
from radiance_twin.core.field.directions import spherical_harmonics
from radiance_twin.core.field.march import march
from radiance_twin.core.training.sampler import NOTHING, ViewPixels

from .batch import CAPACITY, CELLS, RAYS, SMALL, STEP, Device, places_of, reference_samples, some_rays
from .random_numbers import philox

pytestmark = pytest.mark.usefixtures("one_thread")


def test_samples_are_those_of_the_reference(host: Any) -> None:
    device = Device(host, SMALL)
    some_rays(device)
    device.rays[0, 4:7] = [0, 0, 1]  # parallel to faces, inside
    device.rays[0, :3] = [0.3, 0.6, -1]
    device.run("march_rays", step=STEP, resolution=CELLS, capacity=CAPACITY)
    ours = reference_samples(device)
    rays = torch.from_numpy(device.rays)
    truth = march(
        rays[:, :3], rays[:, 4:7], torch.from_numpy(device.occupied), STEP, rays[:, 7].clone(), rays[:, 3].clone()
    )
    assert len(truth.times) > 1200
    assert (truth.offsets.diff() == 0).sum() > 10  # rays without samples
    assert device.count(Counter.SAMPLES) == len(ours.times)
    # a sample that rounding puts on a cell's face may fall to either side
    assert (ours.offsets.diff() - truth.offsets.diff()).abs().sum() <= 0.001 * len(truth.times)
    equal = ours.offsets.diff() == truth.offsets.diff()
    np.testing.assert_allclose(ours.times[equal[ours.ray]], truth.times[equal[truth.ray]].double(), atol=2e-6)
    np.testing.assert_allclose(ours.positions[equal[ours.ray]], truth.positions[equal[truth.ray]].double(), atol=2e-6)
    places, _ = places_of(device)
    assert (np.sort(places) == np.arange(len(ours.times))).all()
    assert (device.sample_ray[places] == ours.ray.numpy()).all()


def test_our_philox_gives_the_published_numbers() -> None:
    # the known answers that the authors' library Random123 is tested with
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 0xFFFFFFFF
    assert philox((ones,) * 4, (ones, ones)) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


VIEWS = 3


def some_pixels(device: Device, seed: int = 0) -> Any:
    """Three views of different sizes, and what of them the tests look at."""
    random = np.random.default_rng(seed)
    sizes = np.array([[8, 6], [5, 9], [10, 4]])
    first = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))])
    rotations = np.linalg.qr(random.normal(size=(VIEWS, 3, 3)))[0].astype(np.float32)
    centres = random.normal(size=(VIEWS, 3)).astype(np.float32)
    intrinsics = np.concatenate([random.uniform(5, 9, (VIEWS, 2)), sizes / 2], axis=1).astype(np.float32)
    rgba = random.random((first[-1], 4)).astype(np.float16)
    rgba[::3, 3] = 1.0
    rgba[1::5, 3] = -1.0
    farthest = np.where(random.random(first[-1]) < 0.5, 1.5, NOTHING).astype(np.float32)
    device.arrays |= {
        "chosen": np.flatnonzero(random.random(first[-1]) < 0.6).astype(np.uint32),
        "first_pixel": first.astype(np.uint32),
        "widths": sizes[:, 0].astype(np.uint32),
        "cameras": np.concatenate([rotations.reshape(VIEWS, 9), centres, intrinsics], axis=1),
        "pixels": rgba,
        "farthest": farthest,
        "ways": None,
        "pattern": None,
        "alias_threshold": None,
        "alias_other": None,
    }
    view = np.repeat(np.arange(VIEWS), sizes.prod(axis=1))
    inside = np.arange(first[-1]) - first[view]
    place = np.stack([inside % sizes[view, 0], inside // sizes[view, 0]], axis=1) + 0.5
    return SimpleNamespace(
        rgba=rgba.astype(np.float32),
        view=view,
        place=place,
        rotations=rotations,
        centres=centres,
        intrinsics=intrinsics,
        farthest=farthest,
    )


def generate(device: Device) -> None:
    device.run("begin_step")
    device.run("generate_rays", chosen_count=len(device.chosen), views=VIEWS, cut=0.25)


@pytest.mark.parametrize("together", [1, 4])
def test_rays_are_those_of_the_sampler(host: Any, together: int) -> None:
    device = Device(host, SMALL)
    pixels = some_pixels(device)
    device.choices[Choice.TOGETHER] = together
    shifts = np.random.default_rng(1).uniform(-0.5, 0.5, (together, 2)).astype(np.float32)
    device.arrays["pattern"] = shifts
    generate(device)
    chosen = device.chosen[device.picked].astype(np.int64)
    moved = np.tile(shifts, (RAYS // together, 1)) if together > 1 else np.zeros((RAYS, 2))
    for ray, pixel in enumerate(chosen):
        view, matrix = pixels.view[pixel], np.eye(4)
        matrix[:3, :3] = pixels.rotations[view]
        direction = ray_directions(matrix, pixels.intrinsics[view], (pixels.place[pixel] + moved[ray])[None])
        np.testing.assert_allclose(device.rays[ray, 4:7], direction[0], atol=1e-6)
    assert (device.rays[:, :3] == pixels.centres[pixels.view[chosen]]).all()
    assert (device.targets == pixels.rgba[chosen]).all()
    known = (pixels.farthest[chosen] < NOTHING) & (device.targets[:, 3] > 0.99)
    np.testing.assert_allclose(device.rays[:, 3], np.where(known, np.float32(1.75), NOTHING))
    assert known.any() and not known.all()
    harmonics = spherical_harmonics(torch.from_numpy(device.rays[:, 4:7]).double())
    np.testing.assert_allclose(device.harmonics, harmonics, atol=1e-3)
    assert (device.behind == 0).all()
    # the choice and the jitter, one by one
    seed, count = int(device.choices[Choice.SEED]), len(device.chosen)
    for ray in (0, 1, 100, RAYS - 1):
        common = philox((ray // together, 1, 2, 0), (seed, 0))
        own = philox((ray, 1, 1, 0), (seed, 0))
        assert device.picked[ray] == common[0] * count >> 32
        assert device.rays[ray, 7] == np.float32((own[0] >> 8) / 2**24)
    assert len(set(device.rays[:, 7])) > 0.95 * RAYS
    before = device.picked.copy()
    generate(device)
    assert device.count(Counter.DRAWS) == 2
    assert (device.picked != before).mean() > 0.9


@pytest.mark.parametrize("together", [1, 4])
def test_rays_of_other_lenses_are_those_of_the_sampler(host: Any, together: int) -> None:
    """The same rule on both sides, also at the rim of what a lens draws; test_training_sampler.py says it is right."""
    device = Device(host, SMALL)
    pixels = some_pixels(device)
    ways = np.random.default_rng(2).normal(size=(len(pixels.rgba), 3)).astype(np.float32)
    ways[::7] = 0.0
    device.arrays["ways"] = ways
    device.choices[Choice.TOGETHER] = together
    shifts = np.random.default_rng(1).uniform(-0.5, 0.5, (together, 2)).astype(np.float32)
    device.arrays["pattern"] = shifts
    generate(device)
    sampled = ViewPixels(
        pixels.rgba.astype(np.float16),
        np.zeros(0, np.float32),
        np.ones(len(pixels.rgba), np.bool_),
        device.first_pixel.astype(np.int64),
        device.widths.astype(np.int32),
        pixels.rotations,
        pixels.centres,
        pixels.intrinsics,
        ways,
    )
    moved = np.tile(shifts, (RAYS // together, 1)) if together > 1 else np.zeros((RAYS, 2), np.float32)
    expected = sampled.rays(device.chosen[device.picked].astype(np.int64), moved)
    np.testing.assert_allclose(device.rays[:, 4:7], expected.directions, atol=1e-5)
    assert (device.rays[:, :3] == expected.origins).all()


def test_the_background_stands_behind_known_opacities(host: Any) -> None:
    device = Device(host, SMALL)
    pixels = some_pixels(device)
    device.settings[Setting.BACKGROUND : Setting.BACKGROUND + 3] = background = np.array([1.0, 0.5, 2.0], np.float32)
    device.arrays["farthest"] = None  # pictures without depth
    generate(device)
    assert (device.rays[:, 3] == NOTHING).all()
    truth = pixels.rgba[device.chosen[device.picked]]
    known = truth[:, 3] >= 0
    assert known.any() and not known.all()
    assert (device.behind[~known] == 0).all() and (device.targets[~known] == truth[~known]).all()
    assert (device.behind[known, :3] == background).all()
    over = truth[known, :3] + (1.0 - truth[known, 3:]) * device.behind[known, :3]
    np.testing.assert_allclose(device.targets[known, :3], over, rtol=1e-6)


def test_an_alias_table_sets_how_often_a_pixel_is_chosen(host: Any) -> None:
    device = Device(host, SMALL)
    some_pixels(device)
    count = len(device.chosen)
    # pixel 5 half of the time: every other one stands beside it in its own place
    device.arrays["alias_threshold"] = np.where(np.arange(count) == 5, 1.0, 0.5).astype(np.float32)
    device.arrays["alias_other"] = np.full(count, 5, np.uint32)
    often = []
    for _ in range(8):
        generate(device)
        often.append((device.picked == 5).mean())
        assert len(np.unique(device.picked)) > 30
    assert np.mean(often) == pytest.approx(0.5, abs=0.05)
