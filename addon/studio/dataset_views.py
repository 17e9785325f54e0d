# SPDX-License-Identifier: GPL-3.0-or-later
"""The views of a dataset in the scene: a camera each, with its picture on a plane before it and behind what it sees.

They stand in a collection of their own; renders do not show them, and removing it leaves nothing behind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...core.camera_file import camera_from
from ...core.errors import UserError
from .cameras import lens_for, put_camera

NAME = "Radiance Twin Dataset"
# of the objects: which view they belong to
VIEW = "radiance_twin_view"
# of the collection: the folder of the pictures; the nearest and the farthest depth, if there is any; whether the
# pictures are those of a bent lens, straightened
FOLDER, DEPTH, STRAIGHTENED = "radiance_twin_folder", "radiance_twin_depth", "radiance_twin_straightened"
# from a camera to the plane with its picture, in sizes of the scene
DISTANCE = 0.15


def read_views(folder: Path) -> dict[str, Any]:
    """The list of a folder of pictures; see core/dataset_pictures.py.

    Raises:
        UserError: there is none.
    """
    try:
        listed = json.loads((folder / "views.json").read_text("utf-8"))
        if listed["format"] != "radiance-twin-pictures":
            raise ValueError("another format")
        return dict(listed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no pictures of a dataset ({error}); load the dataset again") from error


def show(scene: bpy.types.Scene, folder: Path) -> bpy.types.Collection:
    """Stand the views into the scene; those of an earlier dataset go.

    Raises:
        UserError: the folder holds none, or a picture is missing.
    """
    listed = read_views(folder)
    remove()
    collection = bpy.data.collections.new(NAME)
    collection[FOLDER] = str(folder)
    if listed.get("depth"):
        collection[DEPTH] = listed["depth"]
    collection[STRAIGHTENED] = bool(listed.get("straightened"))
    scene.collection.children.link(collection)
    distance = DISTANCE * float(np.ptp(np.array(listed["bounds"]), axis=0).max())
    for words in listed["views"]:
        _stand(collection, folder, words, listed["bounds"], distance)
    return collection


def _stand(collection: bpy.types.Collection, folder: Path, words: dict[str, Any], bounds: Any, distance: float) -> None:
    camera = camera_from(words, "a view of the dataset")
    name = f"View {words['index']} {words['split']}".rstrip()
    data: Any = bpy.data.cameras.new(name)
    thing = bpy.data.objects.new(name, data)
    put_camera(thing, camera.camera_to_world, lens_for(camera, bounds))
    data.display_size = distance
    image = _load(folder / words["picture"])
    data.show_background_images = True
    behind = data.background_images.new()
    behind.image, behind.alpha, behind.display_depth, behind.frame_method = image, 1.0, "FRONT", "STRETCH"
    plane: Any = bpy.data.objects.new(f"{name} picture", None)
    plane.empty_display_type, plane.data, plane.empty_image_side = "IMAGE", image, "DOUBLE_SIDED"
    plane.empty_image_offset = (-0.5, -0.5)
    plane.parent = thing
    width, height = camera.size
    fx, fy, cx, cy = camera.intrinsics
    # Blender draws the longer side as long as the empty's size
    plane.empty_display_size = distance * max(width, height) / fx
    middle = (distance * (0.5 * width - cx) / fx, -distance * (0.5 * height - cy) / fy, -distance)
    plane.matrix_local = Matrix.Translation(middle) @ Matrix.Diagonal((1.0, fx / fy, 1.0, 1.0))
    for one in (thing, plane):
        one[VIEW] = int(words["index"])
        one.hide_render = True
        collection.objects.link(one)


def shown() -> bpy.types.Collection | None:
    """The collection, None when no dataset is shown."""
    return bpy.data.collections.get(NAME)


def chosen(context: bpy.types.Context) -> list[int]:
    """Indices of the views whose camera or picture is selected."""
    collection = shown()
    members = set() if collection is None else set(collection.objects)
    return sorted({int(thing[VIEW]) for thing in context.selected_objects if thing in members})


def flip(index: int, path: Path) -> None:
    """Let a view show another picture.

    Raises:
        UserError: it cannot be read.
    """
    image = _load(path)
    for thing in shown().objects:
        if thing.get(VIEW) != index:
            continue
        data: Any = thing.data
        if thing.type == "CAMERA":
            data.background_images[0].image = image
        else:
            thing.data = image


def remove() -> None:
    """Take the views away, with all that belongs to them."""
    collection = shown()
    if collection is None:
        return
    folder = str(collection.get(FOLDER, ""))
    for thing in list(collection.objects):
        data: Any = thing.data
        camera = thing.type == "CAMERA"
        bpy.data.objects.remove(thing)
        if camera:
            bpy.data.cameras.remove(data)
    bpy.data.collections.remove(collection)
    for image in list(bpy.data.images):
        if folder and not image.users and Path(image.filepath).parent == Path(folder):
            bpy.data.images.remove(image)


def _load(path: Path) -> bpy.types.Image:
    try:
        return bpy.data.images.load(str(path), check_existing=True)
    except RuntimeError as error:
        raise UserError(f"cannot read {path}; load the dataset again") from error
