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


def arrays_of_field(field: TrainedField) -> dict[str, NDArray[Any]]:
    """All arrays that a field is made of again."""
    return {**field_arrays(field.model), **occupancy_bits(field.occupied)}


def metadata_to_go_on(field: TrainedField, run: Run, earlier: Earlier | None) -> dict[str, Any]:
    """As much of twin.json as another training needs to go on from the field (see resume.py)."""
    before = earlier.seconds if earlier else 0.0
    return {
        "model": config_metadata(field.model.config),
        "march": {"step": field.step, "occupancy_resolution": field.occupied.shape[0]},
        "world_from_field": field.world_from_field.tolist(),
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
        },
    }


def metadata_of_twin(
    dataset: Dataset, field: TrainedField, run: Run, earlier: Earlier | None, told: dict[str, Any]
) -> dict[str, Any]:
    """twin.json, less what it says of the bake; `told` joins what it says of the training."""
    to_go_on = metadata_to_go_on(field, run, earlier)
    return {
        **to_go_on,
        "scene_name": dataset.scene_name,
        "bounds": dataset.bounds.tolist(),
        "film": dataset.film,
        "background": dataset.background.tolist(),
        "view_transform": dataset.view_transform.to_metadata(),
        "training": {
            **to_go_on["training"],
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
