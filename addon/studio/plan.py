# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides every view of a scene before the first is rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core.camera_file import PosedCamera, read_cameras
from ...core.cameras import lens_from_intrinsics, look_at
from ...core.classes import class_rules
from ...core.covers import GOLDEN_ANGLE, SPLITS
from ...core.dataset import staging
from ...core.dataset.staging import Plan, PlannedView
from ...core.errors import UserError
from ...core.files import sha256_of_file
from ...core.passes import passes_of
from ...core.rigs import PLACED_RIGS, choose_frames, fitting_distance, place_cameras, rig_shape
from .. import compat
from ..view_transform import bake_view_transform
from .cameras import (
    PLACED_CLIP,
    Array,
    Lens,
    StudioCamera,
    intrinsics_of,
    is_perspective,
    lens_for,
    lens_of,
    pose_and_lens_at,
)
from .devices import Device, use_device
from .passes import ALWAYS, Passes
from .scene import (
    Measured,
    external_files,
    give_pass_indices,
    materials_of,
    measure,
    objects_table,
    open_scene,
    prepare_scene,
)
from .sight import Sight

# how often a camera that stands in or before something is moved around the target to a better place
TURNS = 16


@dataclass(frozen=True)
class Studio:
    """The scene, ready to be rendered from anywhere.

    Attributes:
        remarks: what is good to know of its views, a line each.
        missing: paths of files that it needs and does not find.
    """

    scene: bpy.types.Scene
    camera: StudioCamera
    passes: Passes
    sight: Sight
    remarks: list[str]
    missing: list[str]


def plan_views(path: Path, settings: dict[str, Any], folder: Path) -> tuple[Plan, Studio]:
    """Open the scene, decide every view of it, and write the plan into `folder`.

    Raises:
        UserError: the scene cannot be opened, has nothing to render, or does not suit the rig.
    """
    scene = open_scene(str(path), settings["allow_newer"])
    remarks = what_is_left_out(scene, settings["rig"])
    if bpy.app.autoexec_fail:
        remarks.insert(0, f"Python inside the file was not run ({bpy.app.autoexec_fail_message})")
    resolution = (int(settings["resolution"][0]), int(settings["resolution"][1]))
    film = settings["film"]
    if film == "auto":
        film = "transparent" if settings["rig"] in PLACED_RIGS else "world"
    transform = bake_view_transform(scene)
    prepare_scene(scene, resolution, film == "transparent")
    given = read_cameras(settings["poses"]) if settings["poses"] else []
    if given:
        _suit_scene(scene, given, settings["rig"])
    further = passes_of(settings["passes"])
    passes = Passes(scene, further)
    device = use_device(scene, settings["cycles_device"])
    denoise = bool(settings["denoise"])
    if denoise and not compat.has_open_image_denoise():
        denoise = False
        remarks.append("This Blender was built without Open Image Denoise: views are not denoised; more samples help")

    needed = external_files()
    measured = measure(scene, settings["target"])
    if given:
        posed = [(one.frame, one.camera.camera_to_world, lens_for(one.camera, measured.bounds)) for one in given]
        cameras_of_splits = {"train": posed, "val": [], "test": []}
    else:
        cameras_of_splits = _cameras_of_rig(scene, settings, resolution, measured, remarks)
    camera = StudioCamera(scene)
    common = {
        "scene": sha256_of_file(path),
        "files": [_hash_if_there(name) for name in needed],
        "resolution": resolution,
        "film": film,
        "blender": [bpy.app.version_string, bpy.app.build_hash.decode()],
        "device": device.kind,
        "passes": further,
    }
    views: list[PlannedView] = []
    splits: dict[str, list[int]] = {}
    for split, cameras in cameras_of_splits.items():
        splits[split] = list(range(len(views), len(views) + len(cameras)))
        for index, (frame, pose, lens) in zip(splits[split], cameras, strict=True):
            view = PlannedView(
                name=f"view_{index:06d}",
                frame=frame,
                camera_to_world=camera.rounded(pose).tolist(),
                intrinsics=intrinsics_of(lens, scene, resolution).tolist(),
                lens=lens.as_dict(),
                samples=settings["samples"] if split == "train" else settings["reference_samples"],
                denoise=denoise,
                seed=staging.view_seed(settings["seed"], index),
            )
            views.append(staging.with_key(view, common))
    # the middle one is neither as low nor as high as the cameras go
    again = splits["test"][len(splits["test"]) // 2] if splits["test"] else None
    rungs = staging.ladder_samples(settings["reference_samples"], sum(view.samples for view in views))
    plan = Plan(
        views=views,
        splits=splits,
        noise_floor=None if again is None else _again(views[again], staging.NOISE_FLOOR, settings["seed"], common),
        noise_ladder=[]
        if again is None
        else [
            _again(views[again], f"{staging.NOISE_LADDER}_{samples:04d}", settings["seed"], common, samples)
            for samples in rungs
        ],
        noise_floor_of=again,
        resolution=resolution,
        film=film,
        bounds=measured.bounds.tolist(),
        **_tables(measured, settings["classes"]),
        passes={name: compat.pass_names().get(name, "") for name in ("rgba", *ALWAYS, *further)},
        scene_name=path.stem,
        scene_hash=common["scene"],
        scene_bytes=path.stat().st_size,
        blender_version=bpy.app.version_string,
        unit_scale=scene.unit_settings.scale_length,
        device=device.text,
        view_transform=transform.to_metadata(),
        configuration=_configuration(settings, film, denoise, device),
    )
    staging.write_plan(folder, plan, transform)
    if settings["rig"] == "animated":
        remarks.append(
            f"The camera moves along its frames; everything else stays as it is in frame {scene.frame_current}"
        )
    missing = [name for name in needed if not Path(name).exists()]
    return plan, Studio(scene, camera, passes, sight_of(scene, measured), remarks, missing)


def what_is_left_out(scene: bpy.types.Scene, rig: str) -> list[str]:
    """One line for each thing of the scene that its views do not show."""
    lines = []
    engine = str(scene.render.engine)
    if engine != "CYCLES":
        lines.append(f"The scene is set up for {engine}; it is rendered by Cycles")
    used = [layer.name for layer in scene.view_layers if layer.use]
    if len(used) > 1:
        lines.append(f"Of the {len(used)} view layers, {used[0]} alone is rendered")
    if scene.render.use_motion_blur:
        lines.append("Everything stands still: there is no motion blur")
    camera = scene.camera
    if rig in PLACED_RIGS and camera is not None and is_perspective(camera) and camera.data.dof.use_dof:
        lines.append(f"The rig {rig} has no depth of field")
    return lines


def _cameras_of_rig(
    scene: bpy.types.Scene,
    settings: dict[str, Any],
    resolution: tuple[int, int],
    measured: Measured,
    remarks: list[str],
) -> dict[str, list[tuple[int, Array, Lens]]]:
    """Frame, pose and lens of every view, by split; what is good to know of them goes to `remarks`.

    Raises:
        UserError: the rig needs what the scene does not have.
    """
    counts = {"train": settings["views"], "val": settings["val_views"], "test": settings["test_views"]}
    own = scene.camera
    if settings["rig"] == "animated":
        current, subframe = scene.frame_current, scene.frame_subframe
        frames = choose_frames(scene.frame_start, scene.frame_end, scene.frame_step, counts)
        found: dict[str, list[tuple[int, Array, Lens]]] = {}
        for split in SPLITS:
            if split != "train":
                _look_through(scene, settings["test_camera"])
            found[split] = [(int(frame), *pose_and_lens_at(scene, int(frame))) for frame in frames[split]]
        scene.camera = own
        scene.frame_set(current, subframe=subframe)
        poses = np.array([pose for cameras in found.values() for _, pose, _ in cameras])
        if len(poses) > 1 and np.ptp(poses, axis=0).max() < 1e-6:
            raise UserError("the scene's camera stands still along its frames; animate it or choose another rig")
        return found
    if own is not None and not is_perspective(own):
        remarks.append("The scene's camera is not perspective: the rig uses a lens of 50 mm on 36 mm")
    lens = lens_of(own.evaluated_get(bpy.context.evaluated_depsgraph_get())) if is_perspective(own) else Lens()
    distance = fitting_distance(measured.radius, intrinsics_of(lens, scene, resolution), *resolution)
    shape = rig_shape(settings)
    near = distance * shape.distance[0] * min(shape.stretch)
    # everything that renders lies within this of every camera
    furthest = distance * shape.distance[1] * max(shape.stretch)
    furthest += float(np.linalg.norm(np.abs(measured.bounds - measured.centre).max(axis=0)))
    placed = Lens(
        **{
            **lens.as_dict(),
            "use_dof": False,
            "clip_start": PLACED_CLIP[0] * near,
            "clip_end": PLACED_CLIP[1] * furthest,
        }
    )
    poses_of = place_cameras(settings["rig"], counts, measured.centre, distance, shape, int(settings["seed"]))
    sight, intrinsics = sight_of(scene, measured), intrinsics_of(lens, scene, resolution)
    moved = 0
    for poses in () if shape.stereo else poses_of.values():
        for number, pose in enumerate(poses):
            if sight.complaint(pose, intrinsics, resolution):
                other = _around_the_trouble(sight, pose, intrinsics, resolution)
                moved += other is not pose
                poses[number] = other
    if moved:
        remarks.append(f"{moved} cameras stood in or before something and were moved around the target")
    return {split: [(scene.frame_current, pose, placed) for pose in poses] for split, poses in poses_of.items()}


def sight_of(scene: bpy.types.Scene, measured: Measured) -> Sight:
    """What can be seen of what was measured."""
    return Sight(scene, measured.target, measured.centre)


def _around_the_trouble(sight: Sight, pose: Array, intrinsics: Array, resolution: tuple[int, int]) -> Array:
    """The first camera without a complaint among those further around the vertical, else the given one."""
    for turn in range(1, TURNS):
        c, s = np.cos(turn * GOLDEN_ANGLE), np.sin(turn * GOLDEN_ANGLE)
        offset = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ (pose[:3, 3] - sight.centre)
        other = look_at(sight.centre + offset, sight.centre)
        if not sight.complaint(other, intrinsics, resolution):
            return other
    return pose


def _look_through(scene: bpy.types.Scene, name: str | None) -> None:
    """Make another camera the scene's own, whatever markers say; the one that it has when none is named.

    Raises:
        UserError: there is no such camera.
    """
    if name is None:
        return
    other = scene.objects.get(name)
    if other is None or other.type != "CAMERA":
        cameras = ", ".join(sorted(thing.name for thing in scene.objects if thing.type == "CAMERA"))
        raise UserError(f"the scene has no camera named {name}; it has {cameras}")
    for marker in scene.timeline_markers:
        marker.camera = None
    scene.camera = other


def _suit_scene(scene: bpy.types.Scene, given: list[PosedCamera], rig: str) -> None:
    """Pixels of the shape that given cameras ask for, and the frame in which the views around a target were rendered.

    Raises:
        UserError: the cameras do not ask for the same.
    """
    shapes = [lens_from_intrinsics(one.camera.intrinsics, *one.camera.size).pixel_aspect for one in given]
    if np.ptp(shapes, axis=0).max() > 1e-6:
        raise UserError("the given cameras have pixels of different shapes; give them the same fx / fy")
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = shapes[0]
    if rig in PLACED_RIGS:
        scene.frame_set(given[0].frame)


def _again(view: PlannedView, name: str, seed: int, common: dict[str, Any], samples: int | None = None) -> PlannedView:
    """The light of a view once more, with another seed and as many samples unless others are named."""
    other_seed = staging.view_seed(seed, f"{view.name} again")
    changed = replace(view, name=name, seed=other_seed, samples=samples or view.samples, truth=False)
    return staging.with_key(changed, common)


def _tables(measured: Measured, rules: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The plan's tables of objects, classes and materials; what has no pass index is given one."""
    materials = materials_of(measured.objects)
    give_pass_indices([rendered.original for rendered in measured.objects])
    give_pass_indices(materials)
    objects = objects_table(measured.objects, class_rules(rules))
    return {
        "objects": objects,
        "classes": [
            {"index": number, "name": name} for number, name in enumerate(sorted({o["class"] for o in objects}), 1)
        ],
        "materials": [{"index": material.pass_index, "name": material.name} for material in materials],
    }


def _configuration(settings: dict[str, Any], film: str, denoise: bool, device: Device) -> dict[str, Any]:
    """The settings as the dataset records them: as they came out, without paths."""
    paths = ("scene", "output", "blender", "allow_newer", "poses")
    kept = {name: value for name, value in settings.items() if name not in paths}
    return {**kept, "film": film, "denoise": denoise, "cycles_device": device.kind}


def _hash_if_there(path: str) -> str:
    try:
        return sha256_of_file(path)
    except UserError:
        return "missing"
