# SPDX-License-Identifier: GPL-3.0-or-later
"""A field's parameters as the kernels have them: single precision to train, half precision to compute."""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import RadianceField
from .launch import Kernels


class Parameters:
    """The arrays of `signatures.py` that hold a field's parameters.

    Attributes:
        arrays: by name. The tables' masters are the field's own memory; `matrix_master` is a copy until `adopt`.
    """

    def __init__(self, field: RadianceField, kernels: Kernels) -> None:
        program = kernels.program
        # in the order of `matrix_master`, which is the field's own
        self._matrices = {name: value for name, value in field.named_parameters() if not name.endswith("table")}
        self.arrays: dict[str, Tensor] = {
            "table_master": field.table.detach(),
            "table": torch.zeros_like(field.table, dtype=torch.float16),
            "matrix_master": torch.cat([matrix.detach().reshape(-1) for matrix in self._matrices.values()]),
            "weights": torch.zeros(program.weight_words, dtype=torch.int32, device=kernels.device),
        }
        packing = ["table"]
        if field.background_table is not None:
            self.arrays["background_table_master"] = field.background_table.detach()
            self.arrays["background_table"] = torch.zeros_like(field.background_table, dtype=torch.float16)
            packing.append("background_table")
        self._calls = [
            kernels.bind(
                "pack_table",
                {
                    "rows": len(self.arrays[name]),
                    "table_master": self.arrays[f"{name}_master"],
                    "table": self.arrays[name],
                },
            )
            for name in packing
        ]
        self._calls.append(kernels.bind("pack_matrices", self.arrays))
        self.pack()

    def pack(self) -> None:
        """Bring the working copies up to date with the masters."""
        for call in self._calls:
            call()

    def adopt(self) -> None:
        """From now on the field's matrices are views of `matrix_master`: what the kernels change is changed there."""
        for name, values in self.matrices_of(self.arrays["matrix_master"]).items():
            self._matrices[name].data = values

    def matrices_of(self, values: Tensor) -> dict[str, Tensor]:
        """The parts of an array like `matrix_master` that belong to each matrix, by the field's names of them."""
        parts = values.split([matrix.numel() for matrix in self._matrices.values()])
        return {
            name: part.view(matrix.shape) for (name, matrix), part in zip(self._matrices.items(), parts, strict=True)
        }


def occupancy_words(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """`bits` and `coarse` of `signatures.py` for [n, n, n] bool, on the same device."""
    n = occupied.shape[0]
    coarse = occupied.view(n // 8, 8, n // 8, 8, n // 8, 8).amax(dim=(1, 3, 5))
    return _words(occupied.reshape(-1)), _words(coarse.reshape(-1))


def _words(flags: Tensor) -> Tensor:
    """Flag i becomes bit i % 32 of word i / 32."""
    padded = torch.nn.functional.pad(flags, (0, -len(flags) % 32)).view(-1, 4, 8)
    # bytes, low one first, as both x86 and CUDA have them in a word
    powers = 2 ** torch.arange(8, device=flags.device, dtype=torch.uint8)
    return (padded * powers).sum(dim=2, dtype=torch.uint8).contiguous().view(torch.int32).reshape(-1)


def occupied_cells(bits: Tensor, resolution: int) -> Tensor:
    """The inverse of `occupancy_words`: [n, n, n] bool."""
    octets = bits.view(torch.uint8)
    shifts = torch.arange(8, device=bits.device, dtype=torch.uint8)
    flags = (octets[:, None] >> shifts & 1).bool()
    return flags.reshape(-1)[: resolution**3].view((resolution,) * 3)
