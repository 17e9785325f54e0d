# SPDX-License-Identifier: GPL-3.0-or-later
"""The sparse bake: its borders, what can be skipped in it, and how it survives the way through a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiance_twin.core.bake.bricks import (
    CELL,
    FEW,
    MANY,
    SIDE,
    Bricks,
    bricks_of_grid,
    distance_to,
    from_arrays,
    halved,
    metadata_of,
    network_sizes,
    occupied_cells,
    to_arrays,
    with_borders,
)
from radiance_twin.core.errors import UserError
from radiance_twin.core.twin_file import read_twin, write_twin


def as_grid(bricks: Bricks, values: Any) -> Any:
    """The whole cube of values [k, 8, 8, 8, ...], zero where there is no brick."""
    n = bricks.resolution
    grid = np.zeros((n, n, n, *values.shape[4:]), values.dtype)
    for row, place in enumerate(bricks.places):
        grid[tuple(slice(SIDE * at, SIDE * at + SIDE) for at in place)] = values[row]
    return grid


def test_a_dense_grid_becomes_bricks_that_hold_all_of_it() -> None:
    rng = np.random.default_rng(1)
    density, colour = np.zeros((32, 32, 32)), rng.random((32, 32, 32, 3)).astype(np.float16)
    density[7, 12, 20], density[20:22, 20:28, 3] = 5.0, 9.0
    bricks = bricks_of_grid(density, colour)
    # the voxel at 7 is read by samples beyond 8, too
    assert bricks.index[0, 1, 2] >= 0 and bricks.index[1, 1, 2] >= 0 and bricks.index[0, 0, 2] < 0
    assert (as_grid(bricks, bricks.density) == density).all()
    kept = as_grid(bricks, np.ones((bricks.count, 8, 8, 8), bool))
    assert (as_grid(bricks, bricks.colour)[kept] == colour[kept]).all()
    assert bricks.count < 12


def test_borders_are_the_neighbours_voxels(random_bricks: Any) -> None:
    bricks = random_bricks()
    for values in (bricks.density, bricks.colour, bricks.features):
        bordered = np.zeros((bricks.count, 10, 10, 10, *values.shape[4:]), np.float32)
        with_borders(bricks, values, np.arange(bricks.count), bordered)
        around = np.pad(as_grid(bricks, values), [(1, 1)] * 3 + [(0, 0)] * (values.ndim - 4))
        for row, place in enumerate(bricks.places * SIDE):
            assert (bordered[row] == around[tuple(slice(at, at + 10) for at in place)]).all()
    some = np.zeros((2, 10, 10, 10))
    with_borders(bricks, bricks.density, np.array([5, 2]), some)
    assert (some[0, 1:-1, 1:-1, 1:-1] == bricks.density[5]).all()


def test_a_cell_is_occupied_when_a_sample_in_it_reads_a_voxel_that_holds_something() -> None:
    density = np.zeros((24, 24, 24))
    density[9, 12, 23], density[3, 3, 3] = 1.0, 1e-4
    bricks = bricks_of_grid(density, np.zeros((24, 24, 24, 3)))
    cells = as_cells(bricks)
    expected = np.zeros((12, 12, 12), bool)
    # voxel 9 is the upper one of cell 4 and read in cell 5; 12 the lower one of cell 6 and read in cell 5
    expected[4:6, 5:7, 11] = True
    assert (cells == expected).all()


def as_cells(bricks: Bricks) -> Any:
    m = SIDE // CELL
    cells = np.zeros((bricks.resolution // CELL,) * 3, bool)
    for place, of_brick in zip(bricks.places * m, occupied_cells(bricks), strict=True):
        cells[tuple(slice(at, at + m) for at in place)] = of_brick
    return cells


def test_the_distance_to_what_is_seen_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(5)
    occupied = rng.random((10, 8, 7)) < 0.01
    where = np.argwhere(occupied)
    distance = distance_to(occupied)
    for cell in np.ndindex(distance.shape):
        assert distance[cell] == np.abs(where - cell).max(axis=1).min()
    assert distance_to(np.zeros((4, 4, 4), bool)).min() >= 4


def test_half_as_many_voxels_hold_the_same_light() -> None:
    density, colour = np.zeros((48, 48, 48)), np.zeros((48, 48, 48, 3))
    density[16, 8, 40], colour[16, 8, 40] = 8.0, (0.5, 1.0, 2.0)
    smaller = halved(bricks_of_grid(density, colour))
    assert smaller.resolution == 24
    grid = as_grid(smaller, smaller.density)
    assert grid[8, 4, 20] == 1.0 and grid.sum() == 1.0
    assert as_grid(smaller, smaller.colour)[8, 4, 20] == pytest.approx((0.5, 1.0, 2.0))
    # 24 becomes 12: the last bricks stand half outside of the cube
    smallest = halved(smaller)
    assert smallest.resolution == 12 and smallest.index.shape == (2, 2, 2)
    assert float(smallest.density.sum()) == pytest.approx(0.125)


@pytest.mark.parametrize(("features", "width"), [(FEW, 24), (MANY, 32), (MANY, 64)])
def test_bricks_survive_the_way_through_a_file(random_bricks: Any, tmp_path: Path, features: int, width: int) -> None:
    bricks = random_bricks(features=features, width=width)
    metadata = {"world_from_field": np.eye(4).tolist(), "bake": metadata_of(bricks)}
    write_twin(tmp_path / "x.twin", metadata, to_arrays(bricks))
    twin = read_twin(tmp_path / "x.twin", ["bake"])
    back = from_arrays(twin.arrays, twin.metadata)
    assert back.resolution == bricks.resolution
    assert (back.index == bricks.index).all() and (back.features == bricks.features).all()
    assert bricks.network is not None and back.network is not None
    assert all((back.network[name] == array).all() for name, array in bricks.network.items())
    density, colour = bricks.density.astype(float), bricks.colour.astype(float)
    seen = density > 1e-2
    assert (back.density[density < 1e-2] == 0).all()
    # half a step of 254 between 0.01 and 1100, of 255 between 0 and 7.4; and half precision
    assert np.abs(back.density / np.where(seen, density, 1.0) - 1)[seen].max() < 0.5 * np.log(1.1e5) / 254 + 2e-3
    assert (np.abs(back.colour - colour) / (colour + 0.02)).max() < 0.5 * np.log1p(7.4 / 0.02) / 255 + 2e-3
    assert to_arrays(back)["bake/density"].tolist() == to_arrays(bricks)["bake/density"].tolist()


def test_what_nobody_can_see_is_not_kept() -> None:
    density, colour = np.zeros((16, 16, 16)), np.full((16, 16, 16, 3), 0.5)
    density[7, 4, 4] = 3.0
    bricks = bricks_of_grid(density, colour)
    back = from_arrays(to_arrays(bricks), {"bake": metadata_of(bricks)})
    kept = as_grid(back, back.colour)[..., 0] > 0.0
    # a sample beside the voxel reads one voxel farther, also in the next brick
    expected = np.zeros((16, 16, 16), bool)
    expected[6:9, 3:6, 3:6] = True
    assert (kept == expected).all()


def test_a_bake_without_a_network_and_one_without_bricks_survive_too(random_bricks: Any) -> None:
    plain = random_bricks(features=0)
    back = from_arrays(to_arrays(plain), {"bake": metadata_of(plain)})
    assert back.network is None and back.features.shape[-1] == 0
    nothing = bricks_of_grid(np.zeros((16, 16, 16)), np.zeros((16, 16, 16, 3)))
    back = from_arrays(to_arrays(nothing), {"bake": metadata_of(nothing)})
    assert back.count == 0 and back.index.shape == (2, 2, 2)
    assert occupied_cells(back).shape == (0, 4, 4, 4)


def test_the_dense_grid_of_an_earlier_twin_opens() -> None:
    density, colour = np.zeros((16, 16, 16), np.float16), np.ones((16, 16, 16, 3), np.float16)
    density[4, 5, 6] = 3.0
    for metadata in ({"bake": {"kind": "grid", "resolution": 16}}, {}):
        bricks = from_arrays({"bake/density": density, "bake/colour": colour}, metadata)
        assert bricks.network is None and (as_grid(bricks, bricks.density) == density).all()


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "newer kind": ({}, {"kind": "splats"}, "update"),
    "no kind": ({}, {"kind": 7}, "update"),
    "absurd": ({}, {"resolution": 1 << 20}, "makes no sense"),
    "odd": ({}, {"resolution": 50}, "makes no sense"),
    "not a number": ({}, {"resolution": "48"}, "makes no sense"),
    "lacking": ({"bake/colour": None}, {}, "lacks bake/colour"),
    "other shape": ({"bake/density": np.zeros((3, 8, 8, 8), np.uint8)}, {}, "makes no sense"),
    "flat": ({"bake/places": np.zeros(7, np.uint8)}, {}, "makes no sense"),
    "scalar": ({"bake/places": np.uint8(7)}, {}, "makes no sense"),
    "floats": ({"bake/places": np.full((60, 3), np.nan)}, {}, "no sense|wrong kind"),
    "outside": ({"bake/places": "outside"}, {}, "impossible places"),
    "twice": ({"bake/places": "twice"}, {}, "impossible places"),
    "nan": ({"bake/ranges": np.array([0.01, np.nan, 1.0])}, {}, "no numbers"),
    "backwards": ({"bake/ranges": np.array([5.0, 1.0, 1.0])}, {}, "no numbers"),
    "nan in the network": ({"bake/network/w2": np.full((24, 24), np.nan)}, {}, "no numbers"),
    "wider network": ({"bake/network/w2": np.zeros((32, 24))}, {}, "another size"),
    "the network of others": ({"bake/features": "doubled"}, {}, "another size"),
    "half a network": ({"bake/network/w2": None}, {}, "lacks bake/network/w2"),
    "features without a network": ({f"bake/network/{name}": None for name in network_sizes(FEW)}, {}, "only a half"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_bake_is_refused_in_one_line(random_bricks: Any, name: str) -> None:
    changes, words, message = BAD[name]
    bricks = random_bricks()
    arrays = to_arrays(bricks)
    for array, value in changes.items():
        if value is None:
            del arrays[array]
        elif isinstance(value, str) and value == "doubled":
            arrays[array] = np.concatenate([arrays[array]] * 2)
        elif isinstance(value, str):
            arrays[array] = arrays[array].copy()
            arrays[array][3] = (6, 0, 0) if value == "outside" else arrays[array][4]
        else:
            arrays[array] = value
    with pytest.raises(UserError, match=message) as refused:
        from_arrays(arrays, {"bake": {**metadata_of(bricks), **words}})
    assert "\n" not in str(refused.value)


def test_random_arrays_are_refused_or_make_bricks_and_never_anything_else(random_bricks: Any) -> None:
    rng = np.random.default_rng(8)
    bricks = random_bricks(share=0.1)
    whole = to_arrays(bricks)
    kinds: list[Any] = [np.uint8, np.float32, np.int64, np.bool_]
    refused = 0
    for _ in range(300):
        arrays = dict(whole)
        for name in rng.choice(list(arrays), 2):
            old = arrays[name]
            way = rng.integers(4)
            if way == 0:
                shape = tuple(rng.integers(0, 9, rng.integers(0, 5)))
                arrays[name] = rng.integers(0, 256, shape).astype(kinds[rng.integers(4)])
            elif way == 1:
                arrays[name] = np.atleast_1d(old)[: rng.integers(0, old.size + 1)]
            elif way == 2:
                arrays[name] = np.where(rng.random(old.shape) < 0.1, np.float32(np.nan), old)
            else:
                arrays[name] = rng.permutation(old.reshape(-1)).reshape(old.shape)
        try:
            made = from_arrays(arrays, {"bake": {**metadata_of(bricks), "resolution": int(rng.choice([48, 8, 512]))}})
        except UserError:
            refused += 1
        else:
            assert np.isfinite(made.density).all() and np.isfinite(made.colour).all() and made.density.min() >= 0
    assert 100 < refused < 300
