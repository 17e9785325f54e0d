# SPDX-License-Identifier: GPL-3.0-or-later
"""How the kernels of a field's CUDA program are called, and in which order: their arrays, numbers and parameters.

All work is asynchronous: counts stay on the device, every kernel takes any grid (it strides over its items), and a
whole step may be recorded into a CUDA graph and replayed.

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

`KERNELS` names the parameters of each kernel in order; the comment over `_SIGNATURES` says what each is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

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


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel. `kind`: "pointer" (8 bytes), "u4" or "f4"."""

    name: str
    kind: str


def _parameter(text: str) -> Parameter:
    name, kind = text.split(":")
    return Parameter(name, "pointer" if kind.endswith("*") else kind)


KERNELS: dict[str, tuple[Parameter, ...]] = {
    name: tuple(_parameter(part) for part in signature.split()) for name, signature in _SIGNATURES.items()
}
