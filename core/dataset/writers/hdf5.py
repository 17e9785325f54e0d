# SPDX-License-Identifier: GPL-3.0-or-later
"""HDF5 as BlenderProc writes it: one file a view, with the camera that its users have to add by hand.

colors [H, W, 3 or 4] uint8, depth [H, W] float32 planar, normals [H, W, 3] float32 in the camera's OpenGL axes, halved
and moved to 0 … 1 (0.5 where nothing is), instance_segmaps [H, W], instance_attribute_maps (JSON). Beside them
cam2world_matrix and cam_K, whose principal point counts pixel centres from 0 as OpenCV does, and all further passes
under their own names, as the dataset has them.
"""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from ...cameras import opencv_camera_matrix
from .cameras import require_pinholes
from .labels import categories_of, class_of
from .pictures import straight_image
from .posed import Task, Written, require_png

# BlenderProc's depth of the background
FAR = 1e10
# the passes that BlenderProc has under names and in forms of its own
THEIRS = {"depth", "normal", "object_index"}


def write(task: Task) -> Written:
    """Write the folder.

    Raises:
        UserError: the lenses bend straight lines.
    """
    require_png(task, "hdf5")
    require_pinholes(task.dataset, "hdf5")
    dataset, written = task.dataset, Written()
    passes = set(task.passes)
    labelled = "object_index" in passes and bool(dataset.objects)
    categories = categories_of(dataset) if labelled else []
    for split, index in task.each_view():
        written.names[index] = f"{split}/{index}.hdf5"
        image = straight_image(dataset.rgba(index), task.view_transform)
        arrays: dict[str, Any] = {
            "colors": image if task.has_alpha else image[..., :3],
            "cam2world_matrix": dataset.camera_to_world[index],
            "cam_K": opencv_camera_matrix(dataset.intrinsics[index]),
        }
        if "depth" in passes:
            depth = dataset.depth(index)
            arrays["depth"] = np.where(depth > 0.0, depth, FAR).astype(np.float32)
        if "normal" in passes:
            turned = dataset.normal(index) @ dataset.camera_to_world[index][:3, :3]
            arrays["normals"] = (0.5 + 0.5 * turned).astype(np.float32)
        if labelled:
            labels = dataset.object_index(index)
            arrays["instance_segmaps"] = labels.astype(np.uint8) if labels.max(initial=0) < 256 else labels
            table = [
                {
                    "idx": int(entry["index"]),
                    "name": str(entry["name"]),
                    "category_id": categories.index(class_of(entry)) + 1,
                }
                for entry in dataset.objects
            ]
            arrays["instance_attribute_maps"] = np.bytes_(json.dumps(table))
        arrays |= {name: dataset.pixels(name, index) for name in task.passes if name not in THEIRS}
        with h5py.File(task.new_file(written.names[index]), "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array, compression="gzip" if np.ndim(array) > 1 else None)
    return written
