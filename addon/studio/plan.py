# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides every view of a scene before the first is rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core.classes import class_rules
from ...core.dataset import staging
from ...core.dataset.staging import Plan, PlannedView
from ...core.errors import UserError
from ...core.files import sha256_of_file
from ...core.passes import passes_of
from ...core.rendering.rigs import PLACED_RIGS
from ...core.rendering.rules import scene_changes
from ...core.stand_in import FINER, samples_of_stand_in
from .. import compat
from ..view_transform import bake_view_transform
from .cameras import (
    Array,
    Lens,
    StudioCamera,
    has_lens,
    rendered_through,
    rounded,
)
from .coverage import planned_coverage
from .devices import Device, use_device
from .keypoints import find_keypoints
from .labels import Labeller
from .motion import moves_around
from .passes import ALWAYS, Passes
from .randomise.apply import Randomiser
from .randomise.changes import Changes
from .rig import (
    Placed,
    cameras_of_rig,
    frames_around,
    frames_of_rig,
    given_cameras,
    resolution_of,
    sight_of,
    stand_in_frame,
)
from .scene import (
    Bounds,
    RenderedObject,
    external_files,
    give_pass_indices,
    materials_of,
    measure,
    numbered,
    objects_table,
    open_scene,
    prepare_scene,
    union_of_boxes,
)
from .sight import Sight

# of a scene that moves from view to view, in how many it is asked how far
MOST_FRAMES = 24


@dataclass(frozen=True)
class Studio:
    """The scene, ready to be rendered from anywhere.

    Attributes:
        remarks: what is good to know of its views, a line each.
        missing: paths of files that it needs and does not find.
        randomiser: what differs from view to view.
    """

    scene: bpy.types.Scene
    camera: StudioCamera
    passes: Passes
    sight: Sight
    labeller: Labeller
    remarks: list[str]
    missing: list[str]
    randomiser: Randomiser


def plan_views(path: Path, settings: dict[str, Any], folder: Path, changes: Changes) -> tuple[Plan, Studio]:
    """Open the scene, decide every view of it, and write the plan into `folder`.

    Args:
        changes: puts back what was drawn for all views together.

    Raises:
        UserError: the scene cannot be opened, has nothing to render, or does not suit the rig.
    """
    scene = open_scene(str(path), settings["allow_newer"])
    remarks = what_is_left_out(scene, settings["rig"], settings["motion_blur"])
    if bpy.app.autoexec_fail:
        remarks.insert(0, f"Python inside the file was not run ({bpy.app.autoexec_fail_message})")
    given = given_cameras(settings)
    resolution = resolution_of(settings, given)
    film = _film(settings)
    transform = bake_view_transform(scene)
    prepare_scene(scene, resolution, film == "transparent")
    stand_in_frame(scene, given)
    randomiser = Randomiser(scene, settings["randomise"], int(settings["seed"]))
    randomiser.apply_to_scene(changes, remarks)
    further = passes_of(settings["passes"])
    passes = Passes(scene, further, settings["motion_blur"])
    device = use_device(scene, settings["cycles_device"])
    if settings["denoise"] and not compat.has_open_image_denoise():
        settings = {**settings, "denoise": False}
        remarks.append("This Blender was built without Open Image Denoise: views are not denoised; more samples help")

    needed = external_files()
    measured = measure(scene, settings["target"])
    moving = frames_of_rig(scene, settings).tolist() if settings["moving"] else []
    with randomiser.everything_shown():
        all_shown = measure(scene, None) if randomiser.hides else measured
        held = _held_in_frames(scene, all_shown.held, [*randomiser.frames, *moving])
    seen_some_time, of_indices = numbered(all_shown.objects)
    remarks += of_indices
    measured = randomiser.reached(measured, held)
    cameras, of_rig = cameras_of_rig(scene, settings, resolution, measured, given)
    remarks += of_rig
    if not given:
        _jitter(cameras, randomiser, measured.centre, _eyes(settings))
    camera = StudioCamera(scene)
    keypoints, of_keypoints = find_keypoints(scene, seen_some_time, settings["keypoints"])
    remarks += of_keypoints
    common = {
        "scene": sha256_of_file(path),
        "files": [_hash_if_there(name) for name in needed],
        "resolution": resolution,
        "film": film,
        "blender": [bpy.app.version_string, bpy.app.build_hash.decode()],
        "device": device.kind,
        "passes": further,
        "motion_blur": settings["motion_blur"],
        "randomise": [settings["randomise"], settings["seed"], randomiser.files()] if settings["randomise"] else None,
        "keypoints": [(keypoint.name, keypoint.place) for keypoint in keypoints],
    }
    recipe = Recipe(scene, settings, resolution, common)
    views, splits = _planned_views(recipe, cameras, randomiser)
    sight = sight_of(scene, measured, settings)
    seen = {split: [views[index].camera(resolution) for index in indices] for split, indices in splits.items()}
    again = _seen_again(splits)
    plan = Plan(
        views=views,
        splits=splits,
        noise_floor=None if again is None else _again(recipe, views[again], staging.NOISE_FLOOR),
        noise_ladder=[] if again is None else _noise_ladder(recipe, views, again),
        noise_floor_of=again,
        resolution=resolution,
        film=film,
        bounds=measured.bounds.tolist(),
        **_tables(seen_some_time, randomiser.materials(), settings["classes"]),
        keypoints=[{"name": keypoint.name, "object": keypoint.place} for keypoint in keypoints],
        passes={name: compat.pass_names().get(name, "") for name in ("rgba", *ALWAYS, *further)},
        scene_name=path.stem,
        scene_hash=common["scene"],
        scene_bytes=path.stat().st_size,
        blender_version=bpy.app.version_string,
        unit_scale=scene.unit_settings.scale_length,
        device=device.text,
        view_transform=transform.to_metadata(),
        configuration={
            **_configuration(settings, resolution, splits, film, device),
            "coverage": planned_coverage(sight, seen, settings["rig"] in PLACED_RIGS),
        },
    )
    staging.write_plan(folder, plan, transform)
    remarks += _what_moves(scene, settings, randomiser)
    missing = [name for name in needed if not Path(name).exists()]
    labeller = Labeller(scene, resolution, seen_some_time, keypoints)
    return plan, Studio(scene, camera, passes, sight, labeller, remarks, missing, randomiser)


def _held_in_frames(scene: bpy.types.Scene, held: dict[str, Bounds], frames: list[int]) -> dict[str, Bounds]:
    """Boxes, as `Measured.held` has them, around where things are now and in MOST_FRAMES of some frames.

    The scene is as it was afterwards.
    """
    if not frames:
        return held
    current, subframe, own = scene.frame_current, scene.frame_subframe, scene.camera
    found = dict(held)
    for frame in _some_of(frames):
        scene.frame_set(frame)
        for name, box in measure(scene, None).held.items():
            found[name] = union_of_boxes([found[name], box]) if name in found else box
    scene.frame_set(current, subframe=subframe)
    scene.camera = own  # a marker may have put another in its place
    return found


def _some_of(frames: list[int]) -> list[int]:
    """MOST_FRAMES of them at most, evenly spread."""
    known = np.unique(frames)
    return [
        int(known[place]) for place in np.linspace(0, len(known) - 1, min(MOST_FRAMES, len(known))).round().astype(int)
    ]


@dataclass(frozen=True)
class Recipe:
    """How all views of a plan are rendered.

    Attributes:
        common: what determines the pixels of all of them alike, as JSON can carry it.
    """

    scene: bpy.types.Scene
    settings: dict[str, Any]
    resolution: tuple[int, int]
    common: dict[str, Any]


def _film(settings: dict[str, Any]) -> str:
    """What stands behind the scene: transparent or world."""
    if settings["film"] != "auto":
        return str(settings["film"])
    seen = settings["rig"] not in PLACED_RIGS or any(rule["what"] == "background" for rule in settings["randomise"])
    return "world" if seen else "transparent"


def _eyes(settings: dict[str, Any]) -> int:
    """How many views that follow each other see the same scene."""
    return 2 if settings["stereo"] else 1


def _planned_views(
    recipe: Recipe, cameras: dict[str, list[Placed]], randomiser: Randomiser
) -> tuple[list[PlannedView], dict[str, list[int]]]:
    """Every view in the dataset's order, and the indices of each split.

    Raises:
        UserError: cameras of different kinds, or a lens that cannot be rendered.
    """
    settings, eyes = recipe.settings, _eyes(recipe.settings)
    with_flow = settings["moving"] and "flow_forward" in recipe.common["passes"]
    # most views have the same lens
    through: dict[Lens, tuple[list[float], Lens, dict[str, Any] | None]] = {}
    views: list[PlannedView] = []
    splits: dict[str, list[int]] = {}
    for split, placed in cameras.items():
        splits[split] = list(range(len(views), len(views) + len(placed)))
        samples = settings["samples"] if split == "train" else settings["reference_samples"]
        for index, (frame, pose, lens) in zip(splits[split], placed, strict=True):
            if lens not in through:
                through[lens] = rendered_through(lens, recipe.scene, recipe.resolution)
            intrinsics, rendered, stand_in = through[lens]
            view = PlannedView(
                name=f"view_{index:06d}",
                frame=frame if (drawn := randomiser.frame(index // eyes)) is None else drawn,
                draw=index // eyes,
                camera_to_world=rounded(pose).tolist(),
                intrinsics=intrinsics,
                lens=rendered.as_dict(),
                kind=lens.kind,
                distortion=list(lens.distortion),
                stand_in=stand_in and {**stand_in, "samples": samples_of_stand_in(samples)},
                samples=samples,
                denoise=bool(settings["denoise"]),
                seed=staging.view_seed(settings["seed"], index),
                labels=settings["labels"],
                moving=settings["moving"],
                around=frames_around(recipe.scene, settings, recipe.resolution, split, (frame, pose, lens))
                if with_flow
                else None,
            )
            views.append(staging.with_key(view, recipe.common))
    if len({view.kind for view in views}) > 1:
        raise UserError("the cameras are of different kinds, and a dataset has one; render those of each on their own")
    return views, splits


def _seen_again(splits: dict[str, list[int]]) -> int | None:
    """The test view by which noise is measured: the middle one is neither as low nor as high as the cameras go."""
    return splits["test"][len(splits["test"]) // 2] if splits["test"] else None


def _noise_ladder(recipe: Recipe, views: list[PlannedView], again: int) -> list[PlannedView]:
    """One of the views with 1, 2, 4 ... samples."""
    rungs = staging.ladder_samples(recipe.settings["reference_samples"], sum(view.samples for view in views))
    if views[again].stand_in is not None:
        # several rendered pixels make one of the picture, and none has less than one sample
        rungs = [samples for samples in rungs if samples >= FINER**2]
    return [_again(recipe, views[again], f"{staging.NOISE_LADDER}_{samples:04d}", samples) for samples in rungs]


def _again(recipe: Recipe, view: PlannedView, name: str, samples: int | None = None) -> PlannedView:
    """The light of a view once more, with another seed and as many samples unless others are named."""
    other_seed = staging.view_seed(recipe.settings["seed"], f"{view.name} again")
    samples = samples or view.samples
    instead = view.stand_in and {**view.stand_in, "samples": samples_of_stand_in(samples)}
    changed = replace(view, name=name, seed=other_seed, samples=samples, stand_in=instead, truth=False, labels=False)
    return staging.with_key(changed, recipe.common)


def _what_moves(scene: bpy.types.Scene, settings: dict[str, Any], randomiser: Randomiser) -> list[str]:
    """A line each about what is not the same in all views, or what one might think is not."""
    lines = []
    if settings["rig"] == "animated" and not settings["moving"]:
        lines.append(
            f"The camera moves along its frames; everything else stays as it is in frame {scene.frame_current}"
        )
    if "flow" in settings["passes"] and not settings["moving"]:
        frames = _some_of([*randomiser.frames] or [scene.frame_current])
        if not moves_around(scene, frames):
            lines.append(
                f"Nothing moves around frame {frames[0]}: flow is 0 everywhere; set a frame in which something does, "
                "or let the camera move by --rig animated --moving"
            )
    if scene_changes(settings["randomise"]) or settings["moving"]:
        lines.append("The scene differs from view to view: this trains perception models, not a twin of one scene")
    return lines


def what_is_left_out(scene: bpy.types.Scene, rig: str, motion_blur: bool) -> list[str]:
    """One line for each thing of the scene that its views do not show."""
    lines = []
    engine = str(scene.render.engine)
    if engine != "CYCLES":
        lines.append(f"The scene is set up for {engine}; it is rendered by Cycles")
    used = [layer.name for layer in scene.view_layers if layer.use]
    if len(used) > 1:
        lines.append(f"Of the {len(used)} view layers, {used[0]} alone is rendered")
    if scene.render.use_motion_blur and not motion_blur:
        lines.append("There is no motion blur, which the scene has; --motion-blur blurs what moves in it")
    camera = scene.camera
    if rig != "animated" and camera is not None and has_lens(camera) and camera.data.dof.use_dof:
        lines.append(f"The rig {rig} has no depth of field")
    return lines


def _jitter(cameras_of_splits: dict[str, list[Placed]], randomiser: Randomiser, centre: Array, pair: int) -> None:
    """Move cameras as rules say; the `pair` of eyes moves as one."""
    draw = 0
    for cameras in cameras_of_splits.values():
        for start in range(0, len(cameras), pair):
            first = cameras[start][1]
            motion = randomiser.jitter(draw, first, centre) @ np.linalg.inv(first)
            for place in range(start, start + pair):
                frame, pose, lens = cameras[place]
                cameras[place] = frame, motion @ pose, lens
            draw += 1


def _tables(
    seen: list[RenderedObject], further: list[bpy.types.Material], rules: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """The plan's tables of objects, classes and materials; materials without a pass index are given one."""
    materials = [*(known := materials_of(seen)), *(one for one in further if one not in known)]
    give_pass_indices(materials)
    objects = objects_table(seen, class_rules(rules))
    return {
        "objects": objects,
        "classes": [
            {"index": number, "name": name} for number, name in enumerate(sorted({o["class"] for o in objects}), 1)
        ],
        "materials": [{"index": material.pass_index, "name": material.name} for material in materials],
    }


def _configuration(
    settings: dict[str, Any], resolution: tuple[int, int], splits: dict[str, list[int]], film: str, device: Device
) -> dict[str, Any]:
    """The settings as the dataset records them: as they came out, without paths."""
    paths = ("scene", "output", "blender", "allow_newer", "poses", "add")
    kept = {name: value for name, value in settings.items() if name not in paths}
    # each with its seed, so that the same is drawn when views are added with another one
    kept["randomise"] = [{**rule, "seed": rule.get("seed", settings["seed"])} for rule in settings["randomise"]]
    if settings["rig"] == "poses":
        counts = {"views": len(splits["train"]), "val_views": len(splits["val"]), "test_views": len(splits["test"])}
        kept |= {**counts, "resolution": list(resolution)}
    return {**kept, "film": film, "cycles_device": device.kind}


def _hash_if_there(path: str) -> str:
    try:
        return sha256_of_file(path)
    except UserError:
        return "missing"
