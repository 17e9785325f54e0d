# SPDX-License-Identifier: GPL-3.0-or-later
"""A twin to go on from: more time for the same views, or the same scene with more of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..dataset.store import Dataset
from ..errors import UserError
from ..field.render import TrainedField, load_field
from ..twin_file import read_twin


@dataclass(frozen=True)
class Earlier:
    """What an earlier training left: its field, how long it took, how good it was when. Adam's means are not kept."""

    field: TrainedField
    seconds: float
    steps: int
    history: list[tuple[float, float]]


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
    training = twin.metadata.get("training")
    seconds, steps = (training.get(name) if isinstance(training, dict) else None for name in ("seconds", "steps"))
    if not isinstance(seconds, int | float) or not isinstance(steps, int) or not (0 <= seconds < 1e9 and steps >= 0):
        raise UserError(f"{path} does not say how long it was trained; train it from the start")
    return Earlier(field, float(seconds), steps, twin.training_history)
