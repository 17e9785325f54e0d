# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting bricks: the loops against the numpy reference and finite differences, and balls whose light is known."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from radiance_twin.core.bake import fit, kernels, make
from radiance_twin.core.bake.bricks import FEW, MANY, NEGLIGIBLE_DENSITY, SIDE, Bricks, index_of
from radiance_twin.core.bake.deferred import deferred_light, initial_network, network_arrays
from radiance_twin.core.bake.fit import Start, Targets, fit_bricks
from radiance_twin.core.bake.learning import Told, Work, many_features
from radiance_twin.core.bake.make import Deck, bake_bricks, look, rays_between
from radiance_twin.core.bake.march import inside_box, march_rays, render_bake
from radiance_twin.core.bake.picture import bake_picture
from radiance_twin.core.cameras import Camera, look_at
from radiance_twin.core.errors import Cancelled
from radiance_twin.core.field.cpu import CpuField
from radiance_twin.core.field.model import FieldConfig, RadianceField
from radiance_twin.core.field.render import TrainedField, render_view
from radiance_twin.core.training.sampler import Rays

N = 32
WORLD = np.array([[2.0, 0, 0, -1], [0, 2.0, 0, -1], [0, 0, 2.0, -1], [0, 0, 0, 1]])
EVERYWHERE = np.argwhere(np.ones((N // SIDE,) * 3, bool))
RADIUS = 0.3
CHANNELS = 4 + FEW
FOG = 2.0  # density, per unit of field length


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def some_bricks(seed: int, features: int) -> Bricks:
    """Half of all places, filled with anything."""
    random = np.random.default_rng(seed)
    places = EVERYWHERE[random.permutation(len(EVERYWHERE))[: len(EVERYWHERE) // 2]]
    shape = (len(places), SIDE, SIDE, SIDE)
    density = np.where(random.random(shape) < 0.5, 0.0, 20.0 * random.random(shape))
    told = random.integers(0, 256, (*shape, features), dtype=np.uint8)
    colour, network = random.random((*shape, 3)).astype(np.float16), network_arrays(initial_network(seed, features))
    return Bricks(N, index_of(places, N), density.astype(np.float16), colour, told, network)


def rays_at(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """From a sphere around the cube to points in it."""
    random = np.random.default_rng(seed)
    origins = random.standard_normal((count, 3))
    origins = 0.5 + 1.5 * origins / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = random.uniform(0.15, 0.85, (count, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return origins.astype(np.float32), directions.astype(np.float32)


@pytest.mark.parametrize("features", [FEW, MANY])
def test_pictures_are_those_of_the_numpy_reference(pool: ThreadPoolExecutor, features: int) -> None:
    bricks = some_bricks(0, features)
    camera = Camera(look_at([2.5, 1.5, 1.0], [0, 0, 0]), np.array([20.0, 20.0, 6.0, 6.0]), (12, 12))
    picture = bake_picture(bricks, WORLD, camera, pool)
    expected = np.zeros((144, 4))
    for right, down, _ in fit.PATTERN:
        shifted = Camera(camera.camera_to_world, camera.intrinsics - [0, 0, right, down], camera.size)
        expected += render_bake(bricks, WORLD, shifted).reshape(-1, 4) / len(fit.PATTERN)
    # the last interval of a ray, which the reference cuts short, and samples below 1e-4 make up the difference
    np.testing.assert_allclose(picture.reshape(-1, 4), expected, atol=6e-3)


def test_gradients_are_those_of_finite_differences() -> None:
    random = np.random.default_rng(1)
    index = np.pad(index_of(EVERYWHERE, N), 1, constant_values=-1)
    values = random.random((len(EVERYWHERE) * SIDE**3, CHANNELS), np.float32)
    values[:, 0] += 1.0
    origins, directions = rays_at(4, 2)
    upstream = random.standard_normal((4, CHANNELS)).astype(np.float32)
    step = np.float32(1 / N)
    positions, samples = np.empty((4000, 3), np.float32), np.empty((4000, CHANNELS + 1), np.float32)
    offsets, sums = np.empty(5, np.int64), np.empty((4, CHANNELS), np.float32)
    middle, touched = np.full(4, 0.5, np.float32), np.zeros(len(values), bool)
    solid = np.ones(len(values), bool)

    def loss() -> float:
        kernels.see(values, solid, index, origins, directions, middle, step, positions, offsets, samples, sums)
        return float((sums.astype(np.float64) * upstream).sum())

    loss()
    gradient = np.zeros_like(values)
    kernels.scatter(index, positions, offsets, samples, step, upstream, gradient, touched)
    np.testing.assert_array_equal(touched, gradient.any(axis=1))
    for channel in range(CHANNELS):
        row = int(np.abs(gradient[:, channel]).argmax())
        kept, difference = values[row, channel], np.float32(0.02)
        values[row, channel] = kept + difference
        above = loss()
        values[row, channel] = kept - difference
        below = loss()
        values[row, channel] = kept
        assert (above - below) / (2 * difference) == pytest.approx(gradient[row, channel], rel=0.02, abs=1e-4)


def shiny_ball(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """What a hard ball shows [R, 4] whose red grows with the direction's x, and whose blue is higher above."""
    along = ((0.5 - origins) * directions).sum(axis=1)
    nearest = np.linalg.norm(origins + along[:, None] * directions - 0.5, axis=1)
    hit = nearest < RADIUS
    height = (origins + (along - np.sqrt(np.maximum(RADIUS**2 - nearest**2, 0)))[:, None] * directions)[:, 2]
    light = np.stack([0.5 + 0.4 * directions[:, 0], np.full(len(hit), 0.3), 0.1 + height], axis=1)
    return np.where(hit[:, None], np.concatenate([light, np.ones((len(hit), 1))], axis=1), 0.0).astype(np.float32)


def rough_start(seed: int = 0) -> Start:
    """A ball of about the right size, grey."""
    inside = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1)
    centres = (EVERYWHERE[:, None, None, None] * SIDE + inside + 0.5) / N
    thick = np.linalg.norm(centres - 0.5, axis=-1) < RADIUS
    values = np.full((*thick.shape, CHANNELS), 0.5, np.float32)
    values[..., 0] = np.where(thick, 40.0, NEGLIGIBLE_DENSITY)
    values[..., 4:] += 0.1 * np.random.default_rng(seed).standard_normal(values[..., 4:].shape)
    return Start(N, EVERYWHERE, values.reshape(-1, CHANNELS), initial_network(seed, FEW))


def fitted(pool: ThreadPoolExecutor, steps: int, seed: int = 0) -> Bricks:
    origins, directions = rays_at(20000, 3)
    targets = Targets(origins, directions, shiny_ball(origins, directions), np.zeros_like, None)
    return fit_bricks(rough_start(), targets, steps, pool, np.random.default_rng(seed))


@pytest.fixture
def few_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "RAYS_PER_STEP", 2048)


@pytest.mark.usefixtures("few_rays")
def test_bricks_follow_light_that_depends_on_the_direction(pool: ThreadPoolExecutor) -> None:
    bricks = fitted(pool, 70)
    origins, directions = rays_at(3000, 4)
    truth, seen = shiny_ball(origins, directions), march_rays(bricks, origins, directions)
    middle = np.linalg.norm(np.cross(0.5 - origins, directions), axis=1) < 0.8 * RADIUS
    error = np.sqrt(np.mean((seen - truth)[middle] ** 2, axis=0))
    # light that is the same from all sides would be off by the spread of the red: 0.23
    assert truth[middle, 0].std() > 0.2
    assert error[:3].max() < 0.07
    assert error[3] < 0.03


@pytest.mark.usefixtures("few_rays")
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(pool: ThreadPoolExecutor) -> None:
    with ThreadPoolExecutor(1) as alone:
        one, other = fitted(pool, 6), fitted(alone, 6)
    for name in ("density", "colour", "features"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in one.network or {}:
        np.testing.assert_array_equal((one.network or {})[name], (other.network or {})[name])
    assert not np.array_equal(one.density, fitted(pool, 6, seed=1).density)


def test_rays_between_cameras_pass_through_what_the_views_hit() -> None:
    centres = np.array([[2.0, 0.5, 0.5], [0.5, 2.0, 0.5], [0.5, 0.5, 2.0]], np.float32)
    aims = np.random.default_rng(5).uniform(0.4, 0.6, (300, 3)).astype(np.float32)
    view = np.arange(300) % 3
    ways = aims - centres[view]
    distance = np.linalg.norm(ways, axis=1)
    rays = Rays(centres[view], ways / distance[:, None], np.zeros((300, 4), np.float32), distance)
    pixels = np.zeros((300, 5), np.float32)
    pixels[:, 3], pixels[:, 4] = 0.8, 0.8 * distance
    origins, directions = rays_between(centres, rays, pixels, 200, np.random.default_rng(6))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-6)
    # in the triangle of the three cameras, and each aims at one of the points
    assert (origins.min(axis=0) >= 0.5 - 1e-5).all()
    np.testing.assert_allclose(origins.sum(axis=1), 3.0, atol=1e-4)
    missed = np.linalg.norm(np.cross(aims[None] - origins[:, None], directions[:, None]), axis=-1).min(axis=1)
    assert missed.max() < 1e-5


def test_rays_between_cameras_look_where_the_views_look_even_at_nothing() -> None:
    # from inside, away from the cube's middle, at a sky
    centres = np.array([[0.4, 0.5, 0.5], [0.4, 0.52, 0.5], [0.4, 0.5, 0.52]], np.float32)
    ways = np.broadcast_to(np.array([-1.0, 0.0, 0.0], np.float32), (3, 3))
    rays = Rays(centres, ways, np.zeros((3, 4), np.float32), np.full(3, 1e30, np.float32))
    _, directions = rays_between(centres, rays, np.zeros((3, 5), np.float32), 50, np.random.default_rng(7))
    assert directions[:, 0].max() < -0.99


class _Around:
    """Six cameras on the axes that look at a box of fog of radiance 1, 16 × 16 pixels each, shown over green; in a
    `world` over what is behind it, as bright as the fog, and with an opacity that nobody knows.
    """

    def __init__(self, world: bool) -> None:
        self.eyes = [look_at(3.0 * way, [0, 0, 0]) for way in np.concatenate([np.eye(3), -np.eye(3)])]
        self.centres = np.array([(eye[:3, 3] + 1) / 2 for eye in self.eyes], np.float32)
        self.world = world

    def rays(self, pixels: np.ndarray, shifts: np.ndarray | None = None) -> Rays:
        moved = np.zeros((len(pixels), 2)) if shifts is None else shifts
        where = np.stack([pixels % 16 + 0.5, pixels // 16 % 16 + 0.5], axis=1) + moved - 8
        local = np.concatenate([where * [1, -1] / 24.0, -np.ones((len(pixels), 1))], axis=1)
        directions = np.einsum("rij,rj->ri", np.array(self.eyes)[pixels // 256, :3, :3], local)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        origins, last = self.centres[pixels // 256], np.full(len(pixels), 1e30, np.float32)
        entry, leave = inside_box(origins, directions, 0.25, 0.75)
        alpha = -np.expm1(-FOG * np.maximum(leave - entry, 0.0))[:, None]
        green = np.array([0.0, 0.0 if self.world else 0.5, 0.0], np.float32)
        shown = np.concatenate([alpha + (1.0 - alpha) * green, alpha], axis=1)
        if self.world:
            shown[:, :3], shown[:, 3] = 1.0, -1.0
        return Rays(origins, directions.astype(np.float32), shown.astype(np.float32), last, behind=green)


def box_of_fog(world: bool) -> TrainedField:
    """A field that is the same everywhere in a box, and shows radiance 1 there; in a `world` also behind it."""
    model = RadianceField(FieldConfig(levels=1, log2_table_size=8, density_shift=np.log(FOG), background=world))
    with torch.no_grad():
        model.table.zero_()
        for matrices in (model.colour, model.background) if world else (model.colour,):
            matrices[-1].zero_()
    occupied = np.zeros((16, 16, 16), bool)
    occupied[4:12, 4:12, 4:12] = True
    return TrainedField(model, occupied, WORLD, 1 / 64)


@pytest.mark.usefixtures("few_rays")
@pytest.mark.parametrize("world", [False, True])
def test_a_bake_looks_like_its_field(pool: ThreadPoolExecutor, world: bool) -> None:
    # the fog lets a good part through: what its views are shown over, or what the field knows to be behind it, is no
    # part of the bake
    bricks = bake_bricks(box_of_fog(world), _Around(world), np.arange(6 * 256), pool, "small", 32)
    assert bricks.resolution == 64 and bricks.features.shape[-1] == FEW
    camera = Camera(look_at([3.0, 2.0, 1.5], [0, 0, 0]), np.array([40.0, 40.0, 8.0, 8.0]), (16, 16))
    picture = bake_picture(bricks, WORLD, camera, pool)
    # through the middle of the box: the way through it, times the density
    way = -camera.camera_to_world[:3, 2]
    chord = 0.5 / np.abs(way).max()
    alpha = 1 - np.exp(-FOG * chord)
    np.testing.assert_allclose(picture[7:9, 7:9, 3], alpha, atol=0.03)
    np.testing.assert_allclose(picture[7:9, 7:9, :3], alpha, atol=0.05)
    assert picture[0, 0].max() < 0.01


def shiny_fog(hidden: int) -> TrainedField:
    """Fog as thick everywhere, whose light depends much on place and direction."""
    field = box_of_fog(False)
    model = RadianceField(replace(field.model.config, hidden=hidden), seed=3)
    with torch.no_grad():
        model.table.copy_(torch.randn(model.table.shape, generator=torch.Generator().manual_seed(4)))
        model.density[-1][:, 0] = 0.0
        model.colour[-1].mul_(3.0)
    return replace(field, model=model)


@pytest.mark.parametrize("hidden", [32, 64])
def test_with_many_features_the_network_begins_as_that_of_the_field(pool: ThreadPoolExecutor, hidden: int) -> None:
    field = shiny_fog(hidden)
    origins, directions = rays_at(2000, 5)
    work = Work(1.0, lambda done, total: None)
    seen = look(CpuField(field.model), field, origins, directions, np.random.default_rng(0), pool, work)
    network, features = many_features(field.model, seen)
    sums = torch.cat([torch.ones(len(features), 4), torch.from_numpy(features)], dim=1)
    with torch.no_grad():
        light = deferred_light(network, sums, torch.from_numpy(seen.directions)).numpy()
    spread, error = (np.abs(np.log(of / seen.radiance)) for of in (np.exp(np.log(seen.radiance).mean(axis=0)), light))
    assert spread.mean() > 0.3
    assert error.mean() < 0.02


@pytest.mark.usefixtures("few_rays")
@pytest.mark.parametrize(("hidden", "features"), [(64, MANY), (48, FEW)])
def test_a_field_that_few_features_cannot_tell_is_baked_with_many_if_its_network_fits(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, hidden: int, features: int
) -> None:
    monkeypatch.setattr(make, "LEARNING_STEPS", 10)
    monkeypatch.setattr(make, "UNTOLD", 0.0)
    field, said = shiny_fog(hidden), []
    told: Told = lambda *how: said.append(how)  # noqa: E731
    bricks = bake_bricks(field, _Around(False), np.arange(6 * 256), pool, "small", 8, told=told)
    assert bricks.features.shape[-1] == features
    assert said[-1][0] == pytest.approx(said[-1][1]) and all(done <= total for done, total in said)
    camera = Camera(look_at([3.0, 2.0, 1.5], [0, 0, 0]), np.array([40.0, 40.0, 8.0, 8.0]), (16, 16))
    seen, expected = bake_picture(bricks, WORLD, camera, pool), render_view(field, camera)[0]
    # eight steps hardly move what it begins with; the light of that is the next test's
    np.testing.assert_allclose(seen[7:9, 7:9, 3], expected[7:9, 7:9, 3], atol=0.05)


@pytest.mark.usefixtures("few_rays")
def test_a_bake_says_how_far_it_is_from_its_start_to_its_end(pool: ThreadPoolExecutor) -> None:
    said: list[tuple[float, float]] = []
    bake_bricks(
        box_of_fog(False), _Around(False), np.arange(6 * 256), pool, "small", 4, told=lambda *how: said.append(how)
    )
    done = [done for done, _ in said]
    total = said[0][1]
    assert {total for _, total in said} == {total}
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0.0, pytest.approx(total))
    # of a fit as short as this, most is what comes before it
    assert sum(part < total - 4.5 for part in done) > 20


@pytest.mark.usefixtures("few_rays")
def test_a_bake_stops_wherever_it_is_told_to(pool: ThreadPoolExecutor) -> None:
    def bake(told: Told) -> None:
        bake_bricks(box_of_fog(False), _Around(False), np.arange(6 * 256), pool, "small", 2, told=told)

    calls: list[float] = []
    bake(lambda done, total: calls.append(done))
    for last in (0, 4, len(calls) // 2, len(calls) - 1):
        heard: list[float] = []

        def stop(done: float, total: float, last: int = last, heard: list[float] = heard) -> None:
            heard.append(done)
            if len(heard) > last:
                raise Cancelled

        with pytest.raises(Cancelled):
            bake(stop)
        assert heard == calls[: last + 1]


def test_a_deck_deals_every_number_before_any_comes_again() -> None:
    deck, random = Deck(10), np.random.default_rng(0)
    dealt = np.concatenate([deck.draw(count, random) for count in (4, 4, 12, 10)])
    for first in (0, 10, 20):
        assert sorted(dealt[first : first + 10]) == list(range(10))
