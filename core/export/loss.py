# SPDX-License-Identifier: GPL-3.0-or-later
"""What an export loses: the held-out views drawn from it and from the field, both against the classic pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cameras import Camera
from ..comparison.metrics import FOREGROUND_ALPHA, display_image, mean_of, psnr
from ..dataset.store import Dataset
from ..field.render import TrainedField, render_view
from ..reporting import Reporter, followed

# rgba [H, W, 4] scene-linear, premultiplied, of what was exported
Draw = Callable[[Camera], NDArray[np.float32]]

# some figures more would not be more certain, and a benchmark's 200 large views take a processor half an hour
MOST_VIEWS = 16


def measure_loss(dataset: Dataset, field: TrainedField, draw: Draw, reporter: Reporter) -> dict[str, Any] | None:
    """PSNR of the field and of the export over the test views (at most 16, evenly chosen), and what lies between.

    Returns:
        views: how many; field_psnr, export_psnr and, over the classic foreground alone, field_psnr_foreground,
        export_psnr_foreground: the means in dB; loss_db: field_psnr - export_psnr; psnr_to_field: of the export against
        the field's pictures. None when the dataset has no test views.

    Raises:
        Cancelled: the reporter said so.
    """
    test = dataset.splits["test"]
    if not len(test):
        return None
    chosen = test[np.linspace(0, len(test) - 1, min(MOST_VIEWS, len(test))).round().astype(np.int64)]
    figures: dict[str, list[float | None]] = {}
    for index in followed([int(i) for i in chosen], "measure", reporter, "view"):
        camera = dataset.camera(index)
        neural, _ = render_view(field, camera, cancelled=reporter.cancelled)
        truth = dataset.rgba(index)
        valid = dataset.valid(index)
        foreground = (truth[..., 3] > FOREGROUND_ALPHA) & valid
        classic, from_field, exported = (
            display_image(rgba, dataset.background, dataset.view_transform) for rgba in (truth, neural, draw(camera))
        )
        for name, value in (
            ("field_psnr", psnr(classic[valid], from_field[valid])),
            ("export_psnr", psnr(classic[valid], exported[valid])),
            ("field_psnr_foreground", psnr(classic[foreground], from_field[foreground])),
            ("export_psnr_foreground", psnr(classic[foreground], exported[foreground])),
            ("psnr_to_field", psnr(from_field[valid], exported[valid])),
        ):
            figures.setdefault(name, []).append(value)
    means = {name: mean_of(values) for name, values in figures.items()}
    field_psnr, export_psnr = means["field_psnr"], means["export_psnr"]
    loss = None if field_psnr is None or export_psnr is None else field_psnr - export_psnr
    return {"views": len(chosen), **means, "loss_db": loss}
