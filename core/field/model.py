# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiance field: position and direction in, density and scene-linear radiance out. Plain PyTorch, the reference.

Any device, any floating type. The fast executions (`cpu.py`) work on the same parameters and are tested against it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import UserError
from .directions import COUNT as DIRECTION_FEATURES
from .directions import spherical_harmonics
from .hash_grid import GridLayout, encode, grid_layout
from .mlp import initial_layers, mlp

# The activations are exponentials; their arguments are bounded so that neither a weight nor its gradient overflows.
DENSITY_BOUND = 14.0
RADIANCE_BOUND = 11.0  # e^11 = 59874, just below what half precision holds


@dataclass(frozen=True)
class FieldConfig:
    """The shape of a field; stands in twin.json as `model`.

    Attributes:
        levels, features: of the hash encoding.
        base_resolution, finest_resolution: lattice cells along the cube's edge, coarsest and finest level.
        log2_table_size: rows of a hashed level.
        hidden: width of the hidden layers.
        geometry_features: outputs of the density network; the first is the logarithm of the density.
        colour_layers: hidden layers of the colour network.
        density_shift: logarithm of the density (per unit of field length) of an untrained field.
        background: whether a head that depends on direction alone stands behind everything (film "world").
    """

    levels: int = 8
    features: int = 4
    base_resolution: int = 16
    finest_resolution: int = 512
    log2_table_size: int = 17
    hidden: int = 32
    geometry_features: int = 16
    colour_layers: int = 2
    density_shift: float = 4.0
    background: bool = False

    @property
    def layout(self) -> GridLayout:
        return grid_layout(self.levels, self.base_resolution, self.finest_resolution, self.log2_table_size)

    @property
    def background_layout(self) -> GridLayout:
        return grid_layout(BACKGROUND_LEVELS, 4, 64, 14)

    @classmethod
    def from_metadata(cls, metadata: Any) -> FieldConfig:
        """The inverse of `asdict`, for a twin made by anybody.

        Raises:
            UserError: a value is missing or outside of what makes sense.
        """
        values: dict[str, Any] = {}
        for item in fields(cls):
            value: Any = metadata.get(item.name) if isinstance(metadata, dict) else None
            kind: type[Any] = type(item.default)
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise UserError(f"the twin's model lacks a valid {item.name}; train again")
            low, high = _SANE.get(item.name, (0, 1))
            if not low <= value <= high:
                raise UserError(f"the twin's model has {item.name} = {value}, outside of {low} to {high}; train again")
            values[item.name] = kind(value)
        return cls(**values)


BACKGROUND_LEVELS = 5

_SANE = {
    "levels": (1, 32),
    "features": (4, 4),
    "base_resolution": (1, 1 << 12),
    "finest_resolution": (1, 1 << 16),
    "log2_table_size": (1, 24),
    "hidden": (16, 256),
    "geometry_features": (2, 64),
    "colour_layers": (1, 4),
    "density_shift": (-10.0, 10.0),
}


class RadianceField(nn.Module):
    """A field over the cube [0, 1]³.

    Parameters: `table` [rows, F] of the hash encoding, `density` and `colour` (lists of matrices [in, out]) and, when
    the configuration asks for a background, `background_table` and `background`.
    """

    def __init__(self, config: FieldConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.layout = config.layout
        generator = torch.Generator().manual_seed(seed)
        encoded = config.levels * config.features
        self.table = nn.Parameter(_initial_table(self.layout.rows, config.features, generator))
        self.density = nn.ParameterList(initial_layers([encoded, config.hidden, config.geometry_features], generator))
        widths = [config.geometry_features + DIRECTION_FEATURES] + [config.hidden] * config.colour_layers + [3]
        self.colour = nn.ParameterList(initial_layers(widths, generator))
        self.background_table: nn.Parameter | None = None
        self.background = nn.ParameterList()
        if config.background:
            layout = config.background_layout
            self.background_table = nn.Parameter(_initial_table(layout.rows, config.features, generator))
            self.background = nn.ParameterList(
                initial_layers([layout.levels * config.features, config.hidden, 3], generator)
            )

    def on_cpu(self) -> RadianceField:
        """The same field on the CPU: itself when it is there, else a copy."""
        if self.table.device.type == "cpu":
            return self
        copy = RadianceField(self.config)
        copy.load_state_dict({name: value.cpu() for name, value in self.state_dict().items()})
        return copy

    def density_features(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Density [N] per unit of field length and geometry features [N, G] at `positions` [N, 3] in [0, 1]³."""
        features = mlp(encode(positions, self.table, self.layout), list(self.density))
        return torch.exp((features[:, 0] + self.config.density_shift).clamp(max=DENSITY_BOUND)), features

    def radiance(self, features: Tensor, directions: Tensor) -> Tensor:
        """Scene-linear radiance [N, 3] sent back along unit viewing `directions` [N, 3]."""
        inputs = torch.cat([features, spherical_harmonics(directions)], dim=-1)
        return torch.exp(mlp(inputs, list(self.colour)).clamp(max=RADIANCE_BOUND))

    def background_radiance(self, directions: Tensor) -> Tensor:
        """Scene-linear radiance [N, 3] of what lies behind the cube in unit `directions` [N, 3]; 0 without a head."""
        if self.background_table is None:
            return torch.zeros_like(directions)
        encoded = encode(0.5 * directions + 0.5, self.background_table, self.config.background_layout)
        return torch.exp(mlp(encoded, list(self.background)).clamp(max=RADIANCE_BOUND))

    def forward(self, positions: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Density [N] and radiance [N, 3]."""
        density, features = self.density_features(positions)
        return density, self.radiance(features, directions)


def _initial_table(rows: int, features: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(rows, features, generator=generator) * 2.0 - 1.0) * 1e-4


def field_arrays(field: RadianceField) -> dict[str, NDArray[Any]]:
    """The field's parameters as they stand in a twin: `field/...`, tables in half precision, matrices in single."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, parameter in field.named_parameters():
        values = parameter.detach().float().cpu().numpy()
        kind = np.float16 if name.endswith("table") else np.float32
        arrays["field/" + name.replace(".", "_")] = values.astype(kind)
    return arrays


def field_from_arrays(metadata: Any, arrays: dict[str, NDArray[Any]], device: torch.device) -> RadianceField:
    """The inverse of `field_arrays`; `metadata` is twin.json's `model`.

    Raises:
        UserError: an array is missing, has another shape, or holds something that is not finite.
    """
    config = FieldConfig.from_metadata(metadata)
    shape, table = (config.layout.rows, config.features), arrays.get("field/table")
    # before memory is taken for one of its own
    if table is None or table.shape != shape:
        raise UserError(f"the twin's field lacks a table of shape {shape}; train again")
    field = RadianceField(config)
    with torch.no_grad():
        for name, parameter in field.named_parameters():
            values = arrays.get("field/" + name.replace(".", "_"))
            if values is None or values.shape != tuple(parameter.shape):
                raise UserError(f"the twin's field lacks a {name} of shape {tuple(parameter.shape)}; train again")
            if not np.isfinite(values).all():
                raise UserError(f"the twin's field holds values in {name} that are not finite; train again")
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return field.to(device)


def config_metadata(config: FieldConfig) -> dict[str, Any]:
    """twin.json's `model`."""
    return asdict(config)
