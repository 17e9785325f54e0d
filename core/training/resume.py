# SPDX-License-Identifier: GPL-3.0-or-later
"""A twin to go on from: more time for the same views, or the same scene with more of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..dataset.store import Dataset
from ..errors import UserError
from ..field.render import TrainedField, load_field
from ..twin_file import UNFINISHED, read_twin


@dataclass(frozen=True)
class Earlier:
    """What an earlier training left. Adam's means are not kept.

    Attributes:
        seconds, steps: that it took, with all that it went on from.
        history: seconds and PSNR.
        spent: {"seconds", "steps"} of the time that it was given, when it did not come to its end; else both are 0.
    """

    field: TrainedField
    seconds: float
    steps: int
    history: list[tuple[float, float]]
    spent: dict[str, float]


def read_earlier(path: str, dataset: Dataset, device: torch.device) -> Earlier:
    """The field of the twin at `path`, to be trained on with `dataset`.

    Raises:
        UserError: it is no twin, it is damaged, or its field does not lie where the dataset's does.
    """
    twin = read_twin(path)
    field = load_field(twin, device.type)
    if not np.allclose(field.world_from_field, dataset.world_from_field, rtol=1e-6, atol=1e-9):
        raise UserError(
            f"the field of {path} stands elsewhere than the scene of {dataset.path}, whose bounds have changed; "
            "train it from the start"
        )
    if field.model.config.background != (dataset.film == "world"):
        raise UserError(f"{path} was trained with another film than that of {dataset.path}; train it from the start")
    whole = _seconds_and_steps(twin.metadata.get("training"))
    spent = _seconds_and_steps(twin.metadata.get(UNFINISHED, {"seconds": 0.0, "steps": 0}))
    if whole is None or spent is None:
        raise UserError(f"{path} does not say how long it was trained; train it from the start")
    return Earlier(field, *whole, twin.training_history, dict(zip(("seconds", "steps"), spent, strict=True)))


def _seconds_and_steps(said: Any) -> tuple[float, int] | None:
    seconds, steps = (said.get(name) if isinstance(said, dict) else None for name in ("seconds", "steps"))
    if not isinstance(seconds, int | float) or not isinstance(steps, int) or not (0 <= seconds < 1e9 and steps >= 0):
        return None
    return float(seconds), steps
