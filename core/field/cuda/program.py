# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA program of one field: its source, specialised by constants, and what its launcher must know.

`program_of(config)` joins a prelude of `constexpr` with the files of `kernels/`. The source includes nothing, so that
NVRTC needs no headers. How the kernels are called stands in `signatures.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path

from ..directions import COUNT as DIRECTION_FEATURES
from ..hash_grid import PRIME_Y, PRIME_Z, GridLayout
from ..model import DENSITY_BOUND, RADIANCE_BOUND, FieldConfig
from .signatures import DROPPED, KERNELS, NOWHERE, Choice, Counter, Parameter, Setting, State

# the order of the files is that of their use; the first is the only one that speaks to the hardware
_INTRINSICS = "intrinsics.cuh"
_FILES = (
    "random.cuh",
    "network.cuh",
    "encoding.cuh",
    "marching.cuh",
    "rays.cu",
    "batch.cuh",
    "forward.cu",
    "compositing.cu",
    "backward.cu",
    "adam.cu",
    "occupancy.cu",
    "render.cu",
)
FOLDER = Path(__file__).with_name("kernels")

WARP = 32
# every kernel runs in blocks of so many threads
THREADS = 256
# Shared memory with which two blocks still run beside each other on a multiprocessor of Ampere and Ada (100 KiB), and
# that a block gets unasked. Only layers wider than 96 need more: at most 64 KiB, which Turing has.
_MOST_SHARED = 48 * 1024


@dataclass(frozen=True)
class Kernel:
    """How a kernel is launched: blocks of `threads`, `shared_bytes` of dynamic shared memory, any number of blocks.

    Above 48 KiB the launcher has to raise CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES first.
    """

    name: str
    threads: int
    shared_bytes: int
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Program:
    """The source for one field and what its launcher must know.

    Attributes:
        source: CUDA C++17 without includes, but for the intrinsics' when asked without them.
        kernels: by name.
        matrix_values: floats of all matrices. weight_words: u4 of their packed working copies.
        encoded, background_encoded: columns of the saved encodings (multiples of 16).
        rows, background_rows: of the tables (0 without a background).
    """

    source: str
    kernels: dict[str, Kernel]
    matrix_values: int
    weight_words: int
    encoded: int
    background_encoded: int
    rows: int
    background_rows: int


@dataclass(frozen=True)
class _Network:
    """One perceptron as the kernels see it: widths of the layers in the model, and padded to tensor-core tiles.

    Inputs are padded to multiples of 16, outputs to multiples of 8.
    """

    inputs: int
    hidden: int
    depth: int  # hidden layers
    outputs: int

    @property
    def real(self) -> list[tuple[int, int]]:
        widths = [self.inputs, *[self.hidden] * self.depth, self.outputs]
        return list(pairwise(widths))

    @property
    def values(self) -> int:
        return sum(rows * columns for rows, columns in self.real)

    @property
    def padded_inputs(self) -> int:
        return _up(self.inputs, 16)

    @property
    def forward_words(self) -> int:
        return sum(_up(rows, 16) * _up(columns, 8) // 2 for rows, columns in self.real)

    @property
    def words(self) -> int:
        """Forward and transposed matrices."""
        return self.forward_words + sum(_up(columns, 16) * _up(rows, 16) // 2 for rows, columns in self.real)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def unsupported(config: FieldConfig) -> str | None:
    """Why the kernels cannot run a field of this shape; None when they can."""
    if config.hidden % 16 or not 16 <= config.hidden <= 128:
        return f"hidden layers of width {config.hidden} (16 to 128 in steps of 16 are supported)"
    if config.geometry_features != 16:
        return f"{config.geometry_features} geometry features (16 are supported)"
    return None


def program_of(config: FieldConfig, *, intrinsics: bool = True) -> Program:
    """The program for fields of this shape.

    Args:
        intrinsics: without them, the source lacks `intrinsics.cuh`: another implementation is to be put before it.

    Raises:
        ValueError: `unsupported` says why.
    """
    reason = unsupported(config)
    if reason is not None:
        raise ValueError(reason)
    density = _Network(config.levels * 4, config.hidden, 1, config.geometry_features)
    colour = _Network(config.geometry_features + DIRECTION_FEATURES, config.hidden, config.colour_layers, 3)
    networks = [density, colour]
    layout, background_layout = config.layout, config.background_layout
    # without a head the kernels of the background are there all the same, for a network that nobody calls
    background = _Network(background_layout.levels * 4, config.hidden, 1, 3)
    if config.background:
        networks.append(background)

    # A warp carries 32 samples (two tiles of 16) through narrow networks, 16 through wide ones, so that a layer's
    # inputs and sums fit its registers. On the way back it also holds all activations and the matrices' gradients.
    forward_tiles = 2 if config.hidden <= 64 else 1
    backward_tiles = 2 if config.hidden <= 32 else 1
    rows_per_block = THREADS // WARP * 16 * backward_tiles
    # Weights go to shared memory where that leaves room for others; else they are read through the first-level cache,
    # which is as wide.
    exchange = rows_per_block * 2 * 2 * max(config.hidden, density.padded_inputs, colour.padded_inputs)
    staged_bytes = {name: 4 * network.words for name, network in _named(density, colour, background)}
    backward_staged = exchange + max(staged_bytes.values()) <= _MOST_SHARED
    forward_words = {name: network.forward_words for name, network in _named(density, colour, background)}
    forward_staged = 4 * max(forward_words.values()) <= 16 * 1024
    render_words = density.forward_words + colour.forward_words
    render_staged = 4 * render_words <= 32 * 1024

    def forward_shared(name: str) -> int:
        return 4 * forward_words[name] if forward_staged else 0

    def backward_shared(name: str) -> int:
        return exchange + (staged_bytes[name] if backward_staged else 0)

    # the directions' harmonics of the rays that a warp has in flight
    render_shared = THREADS * 32 + (4 * render_words if render_staged else 0)
    shared = {
        "forward_density": forward_shared("density"),
        "forward_colour": forward_shared("colour"),
        "forward_background": forward_shared("background"),
        "update_occupancy": forward_shared("density"),
        "evaluate_density": forward_shared("density"),
        "backward_density": backward_shared("density"),
        "backward_colour": backward_shared("colour"),
        "backward_background": backward_shared("background"),
        "render": render_shared,
    }
    constants: dict[str, float] = {
        "HIDDEN": config.hidden,
        "COLOUR_LAYERS": config.colour_layers,
        "FORWARD_TILES": forward_tiles,
        "BACKWARD_TILES": backward_tiles,
        "THREADS": THREADS,
        "FORWARD_STAGED": forward_staged,
        "BACKWARD_STAGED": backward_staged,
        "RENDER_STAGED": render_staged,
        "EXCHANGE_BYTES": exchange,
        "BACKGROUND": config.background,
        "DENSITY_SHIFT": config.density_shift,
        "DENSITY_BOUND": DENSITY_BOUND,
        "RADIANCE_BOUND": RADIANCE_BOUND,
        "DROPPED": DROPPED,
        "NOWHERE": NOWHERE,
        "DENSITY_INPUTS": density.inputs,
        "COLOUR_INPUTS": colour.inputs,
        "BACKGROUND_INPUTS": background.inputs,
        "GEOMETRY": config.geometry_features,
        "MATRIX_VALUES": sum(network.values for network in networks),
        "WEIGHT_WORDS": sum(network.words for network in networks),
    }
    prelude = [
        *[_constant(name, value) for name, value in constants.items()],
        *[_names(kind) for kind in (Counter, State, Setting, Choice)],
        "struct Level { unsigned cells, first, factor_y, factor_z, mask; };",
        _levels("FIELD", layout),
        _levels("BACKGROUND", background_layout),
    ]
    files = [(FOLDER / name).read_text("utf-8") for name in (_INTRINSICS, *_FILES)]
    parts = [*files[: 1 if intrinsics else 0], *prelude, *files[1:]]
    kernels = {name: Kernel(name, THREADS, shared.get(name, 0), parameters) for name, parameters in KERNELS.items()}
    return Program(
        "\n".join(parts),
        kernels,
        sum(network.values for network in networks),
        sum(network.words for network in networks),
        density.padded_inputs,
        background.padded_inputs,
        layout.rows,
        background_layout.rows if config.background else 0,
    )


def _named(density: _Network, colour: _Network, background: _Network) -> list[tuple[str, _Network]]:
    return [("density", density), ("colour", colour), ("background", background)]


def _constant(name: str, value: float) -> str:
    if isinstance(value, bool):
        return f"constexpr bool {name} = {str(value).lower()};"
    if isinstance(value, int):
        return f"constexpr unsigned {name} = {value}u;"
    return f"constexpr float {name} = {value!r}f;"


def _names(kind: type[IntEnum]) -> str:
    """LOSS of State becomes STATE_LOSS."""
    return "\n".join(_constant(f"{kind.__name__.upper()}_{member.name}", int(member)) for member in kind)


def _levels(name: str, layout: GridLayout) -> str:
    """The levels of one encoding: cells along an edge, first row, factors of y and z, and mask (0: dense)."""
    rows = []
    for level in range(layout.levels):
        cells, first = int(layout.resolutions[level]), int(layout.offsets[level])
        side = cells + 1
        factors = (side, side * side, 0) if layout.dense[level] else (PRIME_Y, PRIME_Z, layout.table_size - 1)
        rows.append("{" + ", ".join(f"{value}u" for value in (cells, first, *factors)) + "}")
    return f"CONSTANT Level {name}_LEVELS[{layout.levels}] = {{{', '.join(rows)}}};"
