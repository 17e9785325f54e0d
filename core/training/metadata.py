# SPDX-License-Identifier: GPL-3.0-or-later
"""What a twin holds of its training."""

from __future__ import annotations

import platform
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from ... import __version__
from ..dataset.store import Dataset
from ..field.model import config_metadata, field_arrays
from ..field.occupancy import occupancy_bits
from ..field.render import TrainedField
from .resume import Earlier
from .run import Run


def arrays_of_twin(field: TrainedField, dataset: Dataset) -> dict[str, NDArray[Any]]:
    """All arrays that a field and the view transform of its pictures are made of again."""
    shown = {f"view_transform/{name}": values for name, values in dataset.view_transform.arrays().items()}
    return {**field_arrays(field.model), **occupancy_bits(field.occupied), **shown}


def metadata_of_twin(
    dataset: Dataset, field: TrainedField, run: Run, earlier: Earlier | None, told: dict[str, Any]
) -> dict[str, Any]:
    """twin.json, less what it says of the bake; `told` joins what it says of the training."""
    before = earlier.seconds if earlier else 0.0
    return {
        "model": config_metadata(field.model.config),
        "march": {"step": field.step, "occupancy_resolution": field.occupied.shape[0]},
        "world_from_field": field.world_from_field.tolist(),
        "scene_name": dataset.scene_name,
        "bounds": dataset.bounds.tolist(),
        "film": dataset.film,
        "background": dataset.background.tolist(),
        "view_transform": dataset.view_transform.to_metadata(),
        "training": {
            # of all runs when this one went on from another
            "seconds": round(run.seconds + before, 3),
            "steps": run.steps + (earlier.steps if earlier else 0),
            "resumed_at_step": earlier.steps if earlier else 0,
            # seconds since the first step of the first run, PSNR over pixels of the val views
            "history": [
                *(earlier.history if earlier else []),
                *((round(seconds + before, 3), round(psnr, 3)) for seconds, psnr in run.history),
            ],
            **told,
            "rays": run.rays,
            "samples": run.samples,
            "scene_hash": dataset.scene_hash,
            "blender": dataset.blender_version,
            "software": {
                "radiance_twin": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "numba": numba.__version__,
            },
        },
    }
