# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA program of one field: its source, specialised by constants, and how its kernels are called.

`program_of(config)` joins a prelude of `constexpr` with the files of `kernels/`. The source includes nothing, so that
NVRTC needs no headers. All work is asynchronous: counts stay on the device, every kernel takes any grid (it strides
over its items), and a whole step may be recorded into a CUDA graph and replayed.

Arrays (device memory, aligned to 16 bytes; f2 is half precision). R rays, S samples (`capacity` at most), A shaded
samples, P pixels, C chosen pixels, V views, n cells along the occupancy grid's edge:

    counters [16] u4     see `Counter`; all zero at the start but RAYS, the number of rays of the first step
    state [8] f4         see `State`; zero at the start
    settings [16] f4     see `Setting`; written by the host at any time between two steps
    choices [8] u4       see `Choice`; likewise
    rays [R, 8] f4       origin, distance beyond which no samples are taken (1e30: none) | unit direction, jitter
                         (steps)
    targets [R, 4] f4    as `sampler.Rays.targets`. behind [R, 4] f4: what stands behind the field, the fourth unused
    harmonics [R, 16] f2 of the directions. picked [R] u4: positions in `chosen`
    bits [n³ / 32] u4    occupancy: cell (x, y, z) is bit i % 32 of word i / 32, i = (x·n + y)·n + z; n is a multiple
                         of 8
    coarse [ceil((n/8)³ / 32)] u4   likewise, whether any cell of a block of 8³ is set
    samples [S, 4] f4    position, distance along the ray (field units). sample_ray [S] u4
    ray_first, ray_count [R] u4     a ray's samples; a count of DROPPED: there was no room, the ray's pixel is left out
    table [rows, 4] f2   the hash encoding's working copy; background_table likewise
    weights [program.weight_words] u4   all matrices' working copies in the tensor cores' order
    table_master, table_gradient, table_first, table_second [rows, 4] f4   and the same for the background's table
    matrix_master, matrix_gradient, matrix_first, matrix_second [program.matrix_values] f4   every matrix [in, out] in C
                         order: density, colour, background, as `RadianceField.parameters()` has them
    encoded [S, program.encoded] f2, geometry [S, 16] f2, logarithm [S] f4 (of the density, before the shift)
    shares [S] f4        each sample's share of its pixel. slot [S] u4: its place in `shaded`, NOWHERE when not shaded
    shaded, alive [S] u4 samples that are shaded; samples that get a gradient (light still reaches them)
    colour [S, 4] f4     the colour network's outputs (logarithm of the radiance) by slot, the fourth unused
    seen [R, 4] f4       what the rays see: colour with what is behind, alpha
    colour_gradient [S, 4] f2 by slot. geometry_gradient [S, 16] f2 by slot. logarithm_gradient [S] f4
    background_encoded [R, program.background_encoded] f2. background_gradient [R, 4] f2

Gradients are those of the SUM of the loss over pixels, times LOSS_SCALE; Adam divides by LOSS_SCALE and by the number
of pixels (PIXELS). `table_gradient`, `background_table_gradient` and `matrix_gradient` must be zero before the first
step; Adam leaves them zero. Nothing else has to be zeroed, but memory fresh from the driver should be, once.

One step, in this order (the background's three only with config.background):

    begin_step            counts this step's draw, zeroes its counters, bias corrections, RAYS to a multiple of TOGETHER
    generate_rays         picks pixels, makes rays, targets, `behind` (the background), harmonics
    march_rays            samples in occupied cells
    forward_density       encoded, geometry, logarithm
    weigh                 shares; lists of shaded and living samples
    forward_colour        colour
    forward_background    behind, background_encoded
    composite_loss        seen, the loss (STATE LOSS_SUM, PIXELS), gradients for the networks' outputs
    backward_colour       geometry_gradient; adds to matrix_gradient
    backward_density      adds to table_gradient and matrix_gradient
    backward_background   adds to background_table_gradient and matrix_gradient
    adam_table            once for each table; adam_matrices
    end_step              LOSS, totals, UPDATES or SKIPPED, and the next step's RAYS from WANTED_SAMPLES

A gradient that is not finite sets NONFINITE: the step then changes no parameter, and counts in SKIPPED.

    update_occupancy, measure_occupancy, pack_occupancy     one after the other: a new occupancy grid (`bits`, `coarse`)
    pack_table (each table), pack_matrices                  working copies from the masters, before anything else
    average               moving average of a master array, when wanted
    camera_rays, forward_background, render   a picture; evaluate_density   density at given points

`KERNELS` names the parameters of each kernel in order; `Kernel.call` says what each is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path

from ..directions import COUNT as DIRECTION_FEATURES
from ..hash_grid import PRIME_Y, PRIME_Z, GridLayout
from ..model import DENSITY_BOUND, RADIANCE_BOUND, FieldConfig

# a count and a slot that mean none
DROPPED = 0xFFFFFFFF
NOWHERE = 0xFFFFFFFF


class Counter(IntEnum):
    """Places in `counters`. The two totals are 64-bit numbers, low word first."""

    RAYS = 0  # of this step, a multiple of TOGETHER
    SAMPLES = 1  # that this step's rays want; those beyond the capacity are not taken
    SHADED = 2
    ALIVE = 3
    PIXELS = 4  # in this step's loss
    DROPPED_RAYS = 5  # for which there was no room, this step
    NONFINITE = 6  # not zero: this step met a gradient that is not finite
    QUEUE = 7  # of a picture's own counters: rays that `render` has begun
    UPDATES = 8  # steps that changed the parameters
    SKIPPED = 9  # steps that did not
    DRAWS = 10  # steps begun: the random generator's counter
    TOTAL_SAMPLES = 12
    TOTAL_RAYS = 14


class State(IntEnum):
    """Places in `state`."""

    LOSS_SUM = 0  # over this step's pixels
    LOSS = 1  # of the last finished step: mean over its pixels
    CORRECTION1 = 2  # Adam's 1 / (1 − β₁^t) and 1 / (1 − β₂^t)
    CORRECTION2 = 3
    THICKNESS_SUM = 4  # over the cells whose density has been asked for, and their number
    ASKED = 5


class Setting(IntEnum):
    """Places in `settings`."""

    RATE = 0  # the learning rate
    BETA1 = 1
    BETA2 = 2
    ADAM_EPSILON = 3
    TABLE_DECAY = 4  # added to the table's gradient times the parameter
    LOSS_SCALE = 5  # 128 keeps fp16 gradients away from both ends
    LOSS_EPSILON = 6  # of the relative loss
    ALPHA_WEIGHT = 7
    SHADE_ABOVE = 8  # smaller shares are not shaded; with less light than this a sample gets no gradient
    BACKGROUND = 9  # red, then green and blue: what stands behind the field, and behind pixels of known opacity


class Choice(IntEnum):
    """Places in `choices`."""

    SEED = 0
    TOGETHER = 1  # rays of one pixel, follow one another: 1, 2, 4, 8, 16 or 32
    WANTED_SAMPLES = 2  # per step
    LEAST_RAYS = 3
    MOST_RAYS = 4  # room in the arrays of rays


# "name:type" of each parameter: a pointer to the array of that name (0 where marked optional below), or a number.
#   rays_count, sample capacity, rows ... u4; step (field units), jitter (steps), threshold ... f4
#   chosen [C] u4 indices into pixels; alias_threshold [C] f4, alias_other [C] u4: Walker's alias table over `chosen`,
#     both 0 for equal chances; first_pixel [V + 1] u4; widths [V] u4; cameras [V, 16] f4: rotation (camera to field,
#     9, C order), centre (3), fx fy cx cy; ways [P, 3] f4: as `ViewPixels.ways`, 0: pinholes; pixels [P, 4] f2:
#     targets; farthest [P] f4: the largest distance among a pixel and its eight neighbours (1e30: nothing is known),
#     0: of none is anything known;
#     cut: how far behind a known opaque surface samples are taken; pattern [TOGETHER, 2] f4 shifts in pixels, 0: none
#   error [C] f4: moving average (share `error_rate` new) of each chosen pixel's loss, 0: not wanted
#   cells [N] u4: candidate cells (i as in bits); cell_density [N] f4: infinity = never asked; asked: so many per call;
#     keep: share of the old maximum that stays; salt: any number, another one for each call within one step
#   camera [16] f4 as one row of cameras; right, down: shift from the pixel's centre
#   render: counters of the picture's own, of which RAYS is the number of rays and QUEUE is 0 (camera_rays sets both,
#     rows from the top; the host does for rays of its own); behind [R, 4] f4 from forward_background (with these
#     counters, and 0 for background_encoded), 0: nothing; stop: a ray ends when less light than this is left;
#     shade_above as the setting; picture [R, 5] f4: premultiplied colour with what is behind, alpha, expected distance
#     times alpha; times `share`, and added to what is there when `add` is 1
_SIGNATURES = {
    "begin_step": "counters:u4* state:f4* settings:f4* choices:u4*",
    "generate_rays": "counters:u4* settings:f4* choices:u4* chosen:u4* chosen_count:u4 alias_threshold:f4* "
    "alias_other:u4* first_pixel:u4* widths:u4* cameras:f4* views:u4 ways:f4* pixels:f2* farthest:f4* cut:f4 "
    "pattern:f4* rays:f4* targets:f4* behind:f4* harmonics:f2* picked:u4*",
    "march_rays": "counters:u4* rays:f4* step:f4 bits:u4* coarse:u4* resolution:u4 capacity:u4 samples:f4* "
    "sample_ray:u4* ray_first:u4* ray_count:u4*",
    "forward_density": "counters:u4* capacity:u4 samples:f4* table:f2* weights:u4* encoded:f2* geometry:f2* "
    "logarithm:f4*",
    "weigh": "counters:u4* settings:f4* step:f4 ray_first:u4* ray_count:u4* logarithm:f4* shares:f4* slot:u4* "
    "shaded:u4* alive:u4*",
    "forward_colour": "counters:u4* shaded:u4* sample_ray:u4* geometry:f2* harmonics:f2* weights:u4* colour:f4*",
    "forward_background": "counters:u4* rays:f4* background_table:f2* weights:u4* background_encoded:f2* behind:f4*",
    "composite_loss": "counters:u4* state:f4* settings:f4* choices:u4* step:f4 targets:f4* behind:f4* ray_first:u4* "
    "ray_count:u4* logarithm:f4* shares:f4* slot:u4* colour:f4* picked:u4* error:f4* error_rate:f4 seen:f4* "
    "colour_gradient:f2* logarithm_gradient:f4* background_gradient:f2*",
    "backward_colour": "counters:u4* shaded:u4* sample_ray:u4* geometry:f2* harmonics:f2* colour_gradient:f2* "
    "weights:u4* geometry_gradient:f2* matrix_gradient:f4*",
    "backward_density": "counters:u4* alive:u4* slot:u4* samples:f4* encoded:f2* geometry_gradient:f2* "
    "logarithm_gradient:f4* weights:u4* table_gradient:f4* matrix_gradient:f4*",
    "backward_background": "counters:u4* rays:f4* background_encoded:f2* background_gradient:f2* weights:u4* "
    "background_table_gradient:f4* matrix_gradient:f4*",
    # rows of either table; sparse 1: rows without a gradient stay as they are, 0: every row moves
    "adam_table": "counters:u4* settings:f4* state:f4* rows:u4 sparse:u4 table_gradient:f4* table_master:f4* "
    "table_first:f4* table_second:f4* table:f2*",
    "adam_matrices": "counters:u4* settings:f4* state:f4* matrix_gradient:f4* matrix_master:f4* matrix_first:f4* "
    "matrix_second:f4* weights:u4*",
    "end_step": "counters:u4* state:f4* choices:u4*",
    "average": "count:u4 decay:f4 values:f4* averages:f4*",
    "pack_table": "rows:u4 table_master:f4* table:f2*",
    "pack_matrices": "matrix_master:f4* weights:u4*",
    "update_occupancy": "counters:u4* state:f4* choices:u4* cells:u4* cell_count:u4 asked:u4 salt:u4 keep:f4 "
    "resolution:u4 table:f2* weights:u4* cell_density:f4* bits:u4* coarse:u4*",
    "measure_occupancy": "state:f4* cell_count:u4 cell_density:f4* step:f4",
    "pack_occupancy": "state:f4* cells:u4* cell_count:u4 cell_density:f4* step:f4 thin:f4 resolution:u4 bits:u4* "
    "coarse:u4*",
    "evaluate_density": "count:u4 positions:f4* table:f2* weights:u4* density:f4*",
    "camera_rays": "counters:u4* camera:f4* width:u4 height:u4 right:f4 down:f4 jitter:f4 rays:f4*",
    "render": "counters:u4* rays:f4* behind:f4* step:f4 bits:u4* coarse:u4* resolution:u4 table:f2* weights:u4* "
    "stop:f4 shade_above:f4 share:f4 add:u4 picture:f4*",
}

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
class Parameter:
    """One parameter of a kernel. `kind`: "pointer" (8 bytes), "u4" or "f4"."""

    name: str
    kind: str


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
    kernels = {
        name: Kernel(name, THREADS, shared.get(name, 0), tuple(_parameter(part) for part in signature.split()))
        for name, signature in _SIGNATURES.items()
    }
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


def _parameter(text: str) -> Parameter:
    name, kind = text.split(":")
    return Parameter(name, "pointer" if kind.endswith("*") else kind)


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


KERNELS: dict[str, tuple[Parameter, ...]] = {
    name: tuple(_parameter(part) for part in signature.split()) for name, signature in _SIGNATURES.items()
}
