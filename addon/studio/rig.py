# SPDX-License-Identifier: GPL-3.0-or-later
"""The cameras of a rig in a scene: around its target, through its free space, or along its own camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...core.camera_file import PosedCamera
from ...core.cameras import Camera, look_at
from ...core.errors import UserError
from ...core.foreign_cameras import cameras_to_render, splits_of_cameras
from ...core.rendering.configuration import DEFAULTS
from ...core.rendering.covers import GOLDEN_ANGLE, SPLITS, fibonacci
from ...core.rendering.rigs import (
    choose_frames,
    fitting_distance,
    frames_in_words,
    interleave,
    place_cameras,
    rig_shape,
    walk,
)
from .cameras import (
    PLACED_CLIP,
    Array,
    Lens,
    camera_of,
    chosen_lens,
    has_lens,
    lens_for,
    lens_in,
    pose_and_lens_at,
    rendered_through,
)
from .randomise.apply import Randomiser
from .scene import Measured, measure_in
from .sight import Sight
from .surfaces import hidden_from_cameras

# frame, pose and lens of a view
Placed = tuple[int, Array, Lens]

# how often a camera that stands in or before something is moved around the target to a better place
TURNS = 16
# of a walk, in sizes of the free space around its beginning: from view to view, and from what stands there
STEP, CLEARANCE = 0.2, 0.12
# directions in which the free space is measured, and places at which a walk may begin
AROUND, BEGINNINGS = 32, 64


def cameras_of_rig(
    scene: bpy.types.Scene,
    settings: dict[str, Any],
    resolution: tuple[int, int],
    measured: Measured,
    given: list[PosedCamera],
) -> tuple[dict[str, list[Placed]], list[str]]:
    """Every view of the scene by split, and what is good to know of them. The scene is as it was afterwards.

    Args:
        given: those of the rig poses, from `given_cameras`.

    Raises:
        UserError: the rig needs what the scene does not have.
    """
    counts = {"train": settings["views"], "val": settings["val_views"], "test": settings["test_views"]}
    if settings["rig"] == "poses":
        placed = [
            (scene.frame_current, one.camera.camera_to_world, lens_for(one.camera, measured.bounds)) for one in given
        ]
        splits = splits_of_cameras(given, settings["val_views"], settings["test_views"])
        all_of_them = settings["views"] in (DEFAULTS["views"], len(splits["train"]))
        told = [] if all_of_them else [f"All {len(placed)} cameras that are given are rendered, whatever --views says"]
        return {split: [placed[index] for index in indices] for split, indices in splits.items()}, told
    if settings["rig"] == "animated":
        return _along_cameras(scene, settings, counts, resolution), []
    own, remarks = scene.camera, []
    if own is not None and not has_lens(own):
        remarks.append("The scene's camera has no lens that can be used here: the rig uses one of 50 mm on 36 mm")
    evaluated = own.evaluated_get(bpy.context.evaluated_depsgraph_get()) if has_lens(own) else None
    lens = chosen_lens(Lens() if evaluated is None else lens_in(scene, evaluated, resolution), settings, resolution)
    if settings["rig"] == "walk":
        return _walking(scene, settings, counts, resolution, measured, lens), remarks
    camera = camera_of(np.eye(4), lens, scene, resolution)
    distance = fitting_distance(measured.radius, camera, lens.fisheye_fov if lens.kind == "fisheye" else 2.0 * np.pi)
    shape = rig_shape(settings)
    # everything that renders lies within this of every camera
    furthest = distance * shape.distance[1] * max(shape.stretch)
    furthest += float(np.linalg.norm(np.abs(measured.bounds - measured.centre).max(axis=0)))
    placed = _without_focus(lens, distance * shape.distance[0] * min(shape.stretch), furthest)
    poses_of = place_cameras(settings["rig"], counts, measured.centre, distance, shape, int(settings["seed"]))
    sight = sight_of(scene, measured, settings)
    moved = 0
    for poses in () if shape.stereo else poses_of.values():
        for number, pose in enumerate(poses):
            if sight.complaint(replace(camera, camera_to_world=pose)):
                other = _around_the_trouble(sight, pose, camera)
                moved += other is not pose
                poses[number] = other
    if moved:
        remarks.append(
            f"{moved} cameras stood in or before something, or saw too little of the target, and were moved around it"
        )
    return {
        split: [(scene.frame_current, pose, placed) for pose in poses] for split, poses in poses_of.items()
    }, remarks


def cameras_in_viewport(scene: bpy.types.Scene, settings: dict[str, Any]) -> tuple[dict[str, list[Camera]], Measured]:
    """The cameras of every split around what the viewport shows of the open scene, and what that is.

    Raises:
        UserError: as `cameras_of_rig` and `measure`.
    """
    given = given_cameras(settings)
    resolution = resolution_of(settings, given)
    measured = measure_in(bpy.context.evaluated_depsgraph_get(), settings["target"])
    measured = Randomiser(scene, settings["randomise"], int(settings["seed"])).reached(measured, measured.held)
    # frames are set in a copy: in the open scene that would take back what was moved and has no keyframe yet
    asked = scene.copy() if settings["rig"] == "animated" else scene
    try:
        found, _ = cameras_of_rig(asked, settings, resolution, measured, given)
    finally:
        if asked != scene:
            bpy.data.scenes.remove(asked)
    cameras = {
        split: [camera_of(pose, lens, scene, resolution) for _, pose, lens in placed] for split, placed in found.items()
    }
    return cameras, measured


def given_cameras(settings: dict[str, Any]) -> list[PosedCamera]:
    """The cameras of the rig poses, as its file says; none of any other rig.

    Raises:
        UserError: there is no such file, or it names cameras that cannot be rendered together.
    """
    if settings["rig"] != "poses":
        return []
    width, height = (int(side) for side in settings["resolution"])
    given = cameras_to_render(bpy.path.abspath(settings["poses"]), (width, height) if width else None)
    if len({one.frame for one in given}) > 1:
        raise UserError(f"{settings['poses']} names different frames of the scene; render those of each on their own")
    return given


def resolution_of(settings: dict[str, Any], given: list[PosedCamera]) -> tuple[int, int]:
    """Width and height of a view."""
    return given[0].camera.size if given else (int(settings["resolution"][0]), int(settings["resolution"][1]))


def stand_in_frame(scene: bpy.types.Scene, given: list[PosedCamera]) -> None:
    """Let the scene be in the frame that given cameras are for, if they say one."""
    if given and given[0].frame is not None:
        scene.frame_set(given[0].frame)


def sight_of(scene: bpy.types.Scene, measured: Measured, settings: dict[str, Any]) -> Sight:
    """What can be seen of what was measured."""
    return Sight(scene, measured.target, measured.centre, hidden_from_cameras(scene), float(settings["least_target"]))


def _around_the_trouble(sight: Sight, pose: Array, camera: Camera) -> Array:
    """The first camera without a complaint among those further around the vertical, else the given one."""
    for turn in range(1, TURNS):
        offset = _turn(turn * GOLDEN_ANGLE) @ (pose[:3, 3] - sight.centre)
        there = look_at(sight.centre + offset, sight.centre)
        if not sight.complaint(replace(camera, camera_to_world=there)):
            return there
    return pose


def _turn(angle: float) -> Array:
    """The rotation [3, 3] around the vertical."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def frames_of_rig(scene: bpy.types.Scene, settings: dict[str, Any]) -> NDArray[np.int64]:
    """The frames along which the rig animated goes, rising."""
    if settings["frames"]:
        return frames_in_words(settings["frames"])
    return np.arange(scene.frame_start, scene.frame_end + 1, scene.frame_step)


def _along_cameras(
    scene: bpy.types.Scene, settings: dict[str, Any], counts: dict[str, int], resolution: tuple[int, int]
) -> dict[str, list[Placed]]:
    """Along the scene's own camera, or along those that are named, in some of its frames."""
    own, current, subframe = scene.camera, scene.frame_current, scene.frame_subframe
    frames = choose_frames(frames_of_rig(scene, settings), counts)
    train = _camera_named(scene, settings["train_camera"])
    other = _camera_named(scene, settings["test_camera"]) or train
    try:
        found = {
            split: [
                (int(frame), *pose_and_lens_at(scene, int(frame), resolution, train if split == "train" else other))
                for frame in frames[split]
            ]
            for split in SPLITS
        }
        found = {
            split: [(frame, pose, chosen_lens(lens, settings, resolution)) for frame, pose, lens in placed]
            for split, placed in found.items()
        }
    finally:
        scene.frame_set(current, subframe=subframe)
        scene.camera = own  # a marker may have put another in its place
    poses = np.array([pose for cameras in found.values() for _, pose, _ in cameras])
    if len(poses) > 1 and np.ptp(poses, axis=0).max() < 1e-6:
        raise UserError("the scene's camera stands still along its frames; animate it or choose another rig")
    return found


def frames_around(
    scene: bpy.types.Scene, settings: dict[str, Any], resolution: tuple[int, int], split: str, placed: Placed
) -> list[dict[str, Any]]:
    """Pose and lens that a camera of the rig animated has in the frames before and after, as `PlannedView.around`."""
    frame, stands, _ = placed
    current, subframe, own = scene.frame_current, scene.frame_subframe, scene.camera
    train = _camera_named(scene, settings["train_camera"])
    camera = train if split == "train" else _camera_named(scene, settings["test_camera"]) or train
    try:
        before, here, after = (pose_and_lens_at(scene, frame + step, resolution, camera) for step in (-1, 0, 1))
    finally:
        scene.frame_set(current, subframe=subframe)
        scene.camera = own
    # a camera that was moved off its path is so in the frames around, too
    moved = stands @ np.linalg.inv(here[0])
    found = []
    for pose, lens in (before, after):
        rendered = rendered_through(chosen_lens(lens, settings, resolution), scene, resolution)[1]
        if rendered.kind != "opencv":
            raise UserError(
                "there is no flow of a fisheye or equirectangular camera that moves; leave flow out of the passes"
            )
        found.append({"camera_to_world": (moved @ pose).tolist(), "lens": rendered.as_dict()})
    return found


def _camera_named(scene: bpy.types.Scene, name: str | None) -> bpy.types.Object | None:
    """A camera of the scene, None when none is named.

    Raises:
        UserError: there is no such camera.
    """
    if name is None:
        return None
    thing = scene.objects.get(name)
    if thing is None or thing.type != "CAMERA":
        cameras = ", ".join(sorted(thing.name for thing in scene.objects if thing.type == "CAMERA"))
        raise UserError(f"the scene has no camera named {name}; it has {cameras}")
    return thing


def _walking(
    scene: bpy.types.Scene,
    settings: dict[str, Any],
    counts: dict[str, int],
    resolution: tuple[int, int],
    measured: Measured,
    lens: Lens,
) -> dict[str, list[Placed]]:
    """Through the free space around the scene's camera, or else around the middle of the scene."""
    sight, seed = sight_of(scene, measured, settings), int(settings["seed"])
    lower, upper = measured.bounds

    def reach(origin: Array, ways: Array) -> Array:
        """How far it is to a surface, or out of the scene, which may have no walls."""
        with np.errstate(divide="ignore", invalid="ignore"):
            out = np.where(ways == 0, np.inf, np.where(ways > 0, upper - origin, lower - origin) / ways)
        return np.minimum(sight.distances(origin, ways), np.maximum(out.min(axis=1), 0.0))

    rng = np.random.default_rng(seed)
    beginnings = [measured.centre, *rng.uniform(lower, upper, (BEGINNINGS, 3))]
    # who stands a camera there means that place, whatever is around it
    own = [] if scene.camera is None else [np.array(scene.camera.matrix_world.translation, np.float64)]
    for begin in [*own, *(place for place in beginnings if not sight.inside(place))]:
        around = reach(begin, fibonacci(AROUND))
        room = float(np.median(around))
        if around.min() >= CLEARANCE * room > 0.0:
            break
    else:
        raise UserError("there is no free space to walk in; stand the scene's camera where the walk shall begin")
    poses = walk(sum(counts.values()), begin, STEP * room, CLEARANCE * room, reach, seed)
    camera = camera_of(np.eye(4), lens, scene, resolution)
    for number, pose in enumerate(poses):
        for turn in range(TURNS):
            turned = pose.copy()
            turned[:3, :3] = _turn(turn * GOLDEN_ANGLE) @ pose[:3, :3]
            # where there are no walls, some look into the void
            if not sight.complaint_of_picture(replace(camera, camera_to_world=turned)):
                poses[number] = turned
                break
    placed = _without_focus(lens, CLEARANCE * room, float(np.linalg.norm(upper - lower)))
    return {
        split: [(scene.frame_current, poses[slot], placed) for slot in slots]
        for split, slots in interleave(counts).items()
    }


def _without_focus(lens: Lens, nearest: float, furthest: float) -> Lens:
    """The lens of cameras that are placed: all is sharp, and nothing between two distances is clipped."""
    near, far = PLACED_CLIP[0] * nearest, PLACED_CLIP[1] * furthest
    return replace(lens, use_dof=False, clip_start=near, clip_end=far)
