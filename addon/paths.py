# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a scene's files go: the folder radiance_twin beside the .blend."""

from pathlib import Path
from typing import NamedTuple

import bpy

from ..core.twin_file import unfinished_path

UNSAVED = "Save the file first: what is made goes into the folder radiance_twin beside it"


class Paths(NamedTuple):
    """The files made from one .blend."""

    dataset: Path
    twin: Path
    report: Path

    @property
    def unfinished_twin(self) -> Path:
        """What a training that did not end had learned."""
        return unfinished_path(self.twin)

    @property
    def metrics(self) -> Path:
        """The report's figures."""
        return self.report / "metrics.json"


def paths_of(blend: str) -> Paths:
    """The files made from the .blend at `blend`."""
    file = Path(blend)
    folder = file.parent / "radiance_twin"
    return Paths(folder / f"{file.stem}.h5", folder / f"{file.stem}.twin", folder / f"{file.stem}_report")


def paths_of_open_file() -> Paths | None:
    """The files made from the open .blend, None as long as it has never been saved."""
    return paths_of(bpy.data.filepath) if bpy.data.filepath else None
