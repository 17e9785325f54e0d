# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a large twin takes from the click until it is drawn, and whether Blender answers meanwhile.

    blender --factory-startup --python tests/bench/import_in_window.py -- TREE TWIN

in a real Blender with its window. TWIN is made of 64 MB of random bricks when it is not there.
"""

import runpy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np

TREE, TWIN = (Path(word) for word in sys.argv[sys.argv.index("--") + 1 :])
runpy.run_path(str(TREE / "core" / "bootstrap.py"))["register"](TREE)
sys.path.insert(0, str(TREE / "tests" / "gui"))

from play import play, take_picture, viewport  # noqa: E402

import radiance_twin  # noqa: E402
from radiance_twin.addon.viewport import draw  # noqa: E402
from radiance_twin.addon.viewport.twin import loaded_part_of  # noqa: E402
from radiance_twin.core.bake.bricks import (  # noqa: E402
    FEW,
    SIDE,
    Bricks,
    index_of,
    metadata_of,
    network_sizes,
    to_arrays,
)
from radiance_twin.core.twin_file import write_twin  # noqa: E402

BRICKS, RESOLUTION = 10_700, 256
found: dict[str, Any] = {}


def script() -> Iterator[float]:
    """Loads the twin once; yields how many seconds to wait."""
    if not TWIN.exists():
        write_random_twin(TWIN)
    found["MB"] = round(TWIN.stat().st_size / 1e6, 1)
    radiance_twin.register()
    yield 2.0
    found["redraw"] = redraw_seconds()
    times = [time.monotonic()]
    bpy.app.timers.register(lambda: times.append(time.monotonic()) or 0.0)
    yield 0.5
    processor, main, began = time.process_time(), time.thread_time(), time.monotonic()
    bpy.ops.radiance_twin.load_twin(filepath=str(TWIN))
    found["click"] = time.monotonic() - began
    thing = bpy.context.view_layer.objects.active
    thing.radiance_twin.exact_frame = False
    while loaded_part_of(thing) < 1.0:
        yield 0.0
    found["on_gpu"] = time.monotonic() - began
    while not draw._state.pictures or any(each.done < 1.0 for each in draw._state.pictures.values()):
        yield 0.0
    found["drawn"] = time.monotonic() - began
    found["processor"], found["main_thread"] = time.process_time() - processor, time.thread_time() - main
    gaps = np.diff([time for time in times if time >= began - 0.1])
    found["ticks"], found["longest_gap"] = len(gaps), float(gaps.max())
    found["failure"] = draw.failure()
    take_picture(TWIN.parent, "imported")


def redraw_seconds() -> float:
    """Of the 3D view without any twin."""
    _, area = viewport()
    began = time.monotonic()
    for _ in range(5):
        area.tag_redraw()
        bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
    return (time.monotonic() - began) / 5


def write_random_twin(path: Path) -> None:
    """Bytes that no file compresses."""
    random = np.random.default_rng(0)
    places = np.stack(np.unravel_index(np.sort(random.choice(32**3, BRICKS, replace=False)), (32,) * 3), axis=1)
    shape = (BRICKS, SIDE, SIDE, SIDE)
    density = np.exp(random.uniform(0, 7, shape)).astype(np.float16)
    colour = random.uniform(0, 1, (*shape, 3)).astype(np.float16)
    features = random.integers(0, 256, (*shape, FEW)).astype(np.uint8)
    network = {
        name: (0.1 * random.standard_normal(size)).astype(np.float32) for name, size in network_sizes(FEW).items()
    }
    bricks = Bricks(RESOLUTION, index_of(places, RESOLUTION), density, colour, features, network)
    world_from_field = np.diag([2.0, 2.0, 2.0, 1.0])
    metadata = {"world_from_field": world_from_field.tolist(), "bake": metadata_of(bricks)}
    write_twin(path, metadata, to_arrays(bricks))


play(script, found, TWIN.parent)
