# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel shows in each state. Without a window nothing is drawn, so the layout is one that takes notes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest

from radiance_twin.addon.jobs import worker
from radiance_twin.addon.operators import compare_frame, held_out, render
from radiance_twin.addon.operators.train import start_train
from radiance_twin.addon.panels import compare as compare_panels
from radiance_twin.addon.panels import dataset as dataset_panels
from radiance_twin.addon.panels import held_out as held_out_panels
from radiance_twin.addon.panels import randomise as randomise_panels
from radiance_twin.addon.panels import steps
from radiance_twin.addon.panels import twin as twin_panels
from radiance_twin.addon.panels.layout import write
from radiance_twin.addon.paths import paths_of_open_file
from radiance_twin.addon.preferences import RadianceTwinPreferences
from radiance_twin.addon.properties import render_arguments, settings_of
from radiance_twin.addon.random_rules import table_of, take_table
from radiance_twin.addon.studio import dataset_views
from radiance_twin.core.rendering.rules import WHAT, keys_of

from .fake_worker import DIES, REFUSES, WAITS
from .waiting import hear_until

ICONS = set(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())


PANELS = (randomise_panels, steps, compare_panels, dataset_panels, held_out_panels, twin_panels)


class Notes:
    """A layout that writes down what it is asked to show, and refuses what Blender would refuse."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.properties: list[str] = []
        self.operators: list[tuple[str, str, SimpleNamespace]] = []
        self.bars: list[str] = []
        self.lists: dict[str, list[Any]] = {}

    def column(self, **_: Any) -> Notes:
        return self

    row = box = split = grid_flow = column

    def separator(self) -> None:
        pass

    def panel(self, identifier: str, default_closed: bool) -> tuple[Notes, Notes]:
        return self, self

    def label(self, text: str, icon: str = "NONE") -> None:
        assert icon in ICONS
        self.labels.append(text)

    def prop(self, data: Any, name: str, text: str | None = None, **_: Any) -> None:
        assert name in data.bl_rna.properties
        self.properties.append(name)

    def operator(self, name: str, text: str | None = None, icon: str = "NONE", **_: Any) -> SimpleNamespace:
        assert icon in ICONS
        module, _, function = name.partition(".")
        label = getattr(getattr(bpy.ops, module), function).get_rna_type().name
        properties = SimpleNamespace()
        self.operators.append((name, label if text is None else text, properties))
        return properties

    def progress(self, factor: float, type: str, text: str) -> None:
        assert 0.0 <= factor <= 1.0 and type == "BAR"
        self.bars.append(text)

    def template_list(
        self, kind: str, identifier: str, data: Any, name: str, active: Any, place: str, **_: Any
    ) -> None:
        assert isinstance(getattr(bpy.types, kind), type) and place in active.bl_rna.properties
        self.lists[name] = list(getattr(data, name))

    def template_icon(self, icon_value: int, scale: float) -> None:
        assert icon_value > 0
        self.labels.append("picture")

    def icon(self, image: bpy.types.Image) -> int:
        assert isinstance(image, bpy.types.Image)
        return 1

    @property
    def buttons(self) -> list[str]:
        """What stands on the buttons."""
        return [text for _, text, _ in self.operators]


def draw(step: str) -> Notes:
    """Draw one panel: "", "cameras", "render", "train" or "compare"."""
    name = "VIEW3D_PT_radiance_twin" + (f"_{step}" if step else "")
    kind = next(getattr(m, name) for m in PANELS if hasattr(m, name))
    notes = Notes()
    panel = SimpleNamespace(layout=notes, settings_column=lambda: notes)
    kind.draw(panel, bpy.context)
    return notes


@pytest.fixture
def saved(extension: None, fake_worker: None, tmp_path: Path) -> Path:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "table.blend"))
    return tmp_path


def test_empty_state_offers_the_sample_and_each_step_offers_to_save(extension: None, fake_worker: None) -> None:
    assert draw("").buttons == ["Open the Sample"]
    for step, button in (("render", "Render 76 Views"), ("train", "Train"), ("compare", "Compare")):
        assert draw(step).buttons == [button, "Save"]


def test_saved_file_needs_no_introduction(saved: Path) -> None:
    notes = draw("")
    assert notes.buttons == [] and notes.labels == []
    assert draw("render").buttons == ["Render 76 Views", "Check"]


@pytest.mark.parametrize(("width", "figures"), [(160, ["64", "31.5 dB"]), (300, ["View 64", "31.5 dB", "0.033"])])
def test_a_narrow_sidebar_has_fewer_columns_and_shorter_lines(width: int, figures: list[str], extension: None) -> None:
    scale = SimpleNamespace(system=SimpleNamespace(ui_scale=2.0))
    context: Any = SimpleNamespace(region=SimpleNamespace(width=2 * width), preferences=scale)
    row = Notes()
    view = SimpleNamespace(index=64, psnr=31.5, flip=0.033)
    held_out_panels.RADIANCE_TWIN_UL_views.draw_item(None, context, row, None, view, 0, None, "")
    assert row.labels == figures and row.operators[0][2].index == 64
    paragraph = Notes()
    write(paragraph, context, "The views are newer than these figures; compare again", icon="INFO")
    assert max(map(len, paragraph.labels)) * 6.5 < width - 60


def test_a_loaded_dataset_offers_its_sides_and_to_go(saved: Path) -> None:
    assert draw("dataset").buttons == ["Load Dataset"]
    collection = bpy.data.collections.new(dataset_views.NAME)
    bpy.context.scene.collection.children.link(collection)
    assert draw("dataset").buttons == ["Load Dataset", "Render", "Depth", "Field", "Error", ""]
    assert draw("dataset").labels == []
    collection[dataset_views.DEPTH], collection[dataset_views.STRAIGHTENED] = [1.5, 2.25], True
    words = " ".join(draw("dataset").labels)
    assert "yellow 1.5, violet 2.25" in words and "pictures are straightened" in words


def test_missing_worker_is_in_sight(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADIANCE_TWIN_PYTHON")
    assert " ".join(draw("").labels).startswith("Training needs a Python with PyTorch")


@pytest.mark.parametrize(
    ("rig", "target", "shown"),
    [
        ("hemisphere", "SCENE", ["rig", "target"]),
        ("orbit", "OBJECT", ["rig", "target", "target_object"]),
        ("sphere", "COLLECTION", ["rig", "target", "target_collection"]),
        ("cover", "SCENE", ["rig", "target", "elevation", "azimuth"]),
        ("rings", "SCENE", ["rig", "target", "elevation", "azimuth", "rings"]),
        ("spiral", "SCENE", ["rig", "target", "elevation", "turns"]),
        ("walk", "OBJECT", ["rig", "camera"]),
        ("animated", "OBJECT", ["rig", "camera", "train_camera", "test_camera", "frames", "moving"]),
    ],
)
def test_cameras_show_what_matters_to_the_rig(saved: Path, rig: str, target: str, shown: list[str]) -> None:
    settings = settings_of(bpy.context.scene)
    settings.rig, settings.target = rig, target
    around = [] if rig in ("walk", "animated") else ["distance", "stretch", "stereo", "least_target"]
    lens = ["intrinsics"] * 4 + ["distortion"] * 6
    rest = ["views", "width", "height", "camera_model", "radiance_twin_show_cameras", "test_views", "val_views"]
    assert draw("cameras").properties == [*shown, *rest, *around, *lens, "film"]
    settings.camera_model = "fisheye"
    assert "fisheye_fov" in draw("cameras").properties


def test_running_step_shows_progress_time_left_and_cancel(saved: Path) -> None:
    settings_of(bpy.context.scene).seed = WAITS
    job = render.start_render(render_arguments(settings_of(bpy.context.scene)), saved / "table.h5")
    hear_until(job, stage="work")
    notes = draw("render")
    assert notes.bars == ["Work 25% · 3 s left"]
    assert [name for name, _, _ in notes.operators] == ["radiance_twin.cancel"]
    assert "view 1 of 4 · 20.0 dB · 18k rays per second" in notes.labels
    assert draw("train").bars == []
    bar = Notes()
    steps.draw_in_status_bar(SimpleNamespace(layout=bar), bpy.context)
    assert bar.bars == ["Work 25% · 3 s left"]
    worker.stop()
    assert draw("render").bars == []


def test_a_training_can_be_finished_from_panel_and_status_bar(saved: Path) -> None:
    paths = paths_of_open_file()
    assert paths is not None
    job = start_train({"seed": WAITS}, paths.dataset, paths.twin, load_after=False)
    hear_until(job, stage="work")
    bar = Notes()
    steps.draw_in_status_bar(SimpleNamespace(layout=bar), bpy.context)
    for drawn in (draw("train"), bar):
        assert [name for name, _, _ in drawn.operators] == ["radiance_twin.cancel", "radiance_twin.finish"]
    worker.stop()


def test_interrupted_render_offers_to_continue(saved: Path) -> None:
    settings_of(bpy.context.scene).seed = REFUSES
    with pytest.raises(RuntimeError):
        bpy.ops.radiance_twin.render_views()
    notes = draw("render")
    assert notes.buttons == ["Render 76 Views", "Continue", "Check"]
    assert notes.operators[1][2].resume is True
    assert " ".join(notes.labels).endswith("The scene is not to my liking; choose another")


def test_a_training_that_was_killed_is_gone_on_with(saved: Path) -> None:
    bpy.ops.radiance_twin.render_views()
    unfinished = saved / "radiance_twin" / "table.unfinished.twin"
    unfinished.touch()
    notes = draw("train")
    assert notes.buttons == ["Train", "Continue"] and notes.operators[1][2].resume is True
    bpy.ops.radiance_twin.train(resume=True)
    job = worker.last("train")
    assert job is not None and job.arguments["resume"] == str(unfinished)


def test_a_worker_that_died_offers_its_log(saved: Path) -> None:
    settings_of(bpy.context.scene).seed = DIES
    with pytest.raises(RuntimeError):
        bpy.ops.radiance_twin.render_views()
    notes = draw("render")
    assert notes.buttons == ["Render 76 Views", "Continue", "Open Log", "Check"]
    assert Path(notes.operators[2][2].filepath).read_text() == "the last words\n"


def test_a_check_says_what_to_mend_and_what_the_views_will_cost(saved: Path) -> None:
    bpy.ops.radiance_twin.check()
    said = " ".join(draw("render").labels)
    assert "The views are black; add a light" in said
    assert "76 views: about 1:01 and 11.0 MB, with 25.0 MB" in said


def test_finished_steps_show_what_came_out(saved: Path) -> None:
    bpy.ops.radiance_twin.render_views()
    assert "76 views in 2 s" in draw("render").labels
    settings_of(bpy.context.scene).load_after = False
    bpy.ops.radiance_twin.train()
    notes = draw("train")
    assert "31.25 dB after 1 s" in notes.labels
    assert notes.buttons == ["Train", "Load Twin"]
    bpy.ops.radiance_twin.load_twin(filepath=notes.operators[1][2].filepath)
    assert draw("train").buttons == ["Train"]
    bpy.ops.radiance_twin.compare()
    notes = draw("compare")
    assert notes.buttons == ["Compare", "Open Report"]
    shown = [*("30.00 dB", "27.00 dB", "0.900", "0.233"), *("2.00 s a view", "0.50 s a view")]
    assert [label for label in notes.labels if label in shown] == shown
    assert "It is fake." in notes.labels
    assert "from 200 frames" in notes.labels
    assert notes.properties == ["turntable"]


def test_held_out_views_stand_in_a_list_with_the_worst_ones_pictures(saved: Path) -> None:
    for step in ("render_views", "train", "compare"):
        getattr(bpy.ops.radiance_twin, step)()
    held_out.refresh()
    notes = draw("held_out")
    assert [(row.index, round(row.flip, 3)) for row in notes.lists["views"]] == [(67, 0.4), (70, 0.2), (64, 0.1)]
    assert notes.labels.count("picture") == 3 and notes.buttons == []
    bpy.ops.radiance_twin.look_from_view(index=70)
    assert draw("held_out").buttons == ["Leave View"]
    (saved / "radiance_twin" / "table.twin").touch()
    assert "The twin is newer than these figures; compare again" in " ".join(draw("held_out").labels)
    notes = draw("objects")
    assert [(row.name, row.psnr) for row in notes.lists["objects"]] == [("Cube", 21.5), ("Gone", held_out.IDENTICAL)]
    assert notes.buttons == ["Paint Error"]
    bpy.ops.radiance_twin.paint_error()
    notes = draw("objects")
    assert notes.properties == ["hide_viewport"] and "pale 0.400 and more" in " ".join(notes.labels)
    assert [name for name, _, _ in notes.operators] == ["radiance_twin.paint_error", "radiance_twin.remove_error"]


def test_proposed_cameras_are_shown_with_their_reasons(saved: Path) -> None:
    for step in ("render_views", "train"):
        getattr(bpy.ops.radiance_twin, step)()
    assert draw("fix_it").buttons == ["Propose Cameras"]
    settings_of(bpy.context.scene).fix_it_views = 2
    bpy.ops.radiance_twin.propose_cameras()
    notes = draw("fix_it")
    assert "Fix-It 1: the back errs, number 0" in " ".join(notes.labels)
    assert notes.buttons == ["Propose Cameras", "", "", "Render and Train", ""]


def test_this_frame_says_what_came_of_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw("frame").buttons == ["Compare This Frame"] and draw("frame").labels == []
    monkeypatch.setattr(compare_frame, "_problem", ("The render was stopped", bpy.data.filepath))
    assert draw("frame").labels == ["The render was stopped"]
    monkeypatch.setattr(compare_frame, "_problem", ("The render was stopped", "other.blend"))
    assert draw("frame").labels == []


def test_files_of_an_earlier_session_are_in_sight(saved: Path) -> None:
    (saved / "radiance_twin").mkdir()
    (saved / "radiance_twin" / "table.h5").write_bytes(bytes(2_500_000))
    assert "table.h5, 2.5 MB" in draw("render").labels
    assert draw("train").labels == []


def test_everything_that_can_be_pointed_at_has_a_tool_tip(extension: None) -> None:
    """Operators, what can be set of them, and the settings of scenes, objects and the preferences, with all choices."""
    operators = {name: getattr(bpy.ops.radiance_twin, name).get_rna_type() for name in dir(bpy.ops.radiance_twin)}
    assert len(operators) > 10
    assert [name for name, kind in operators.items() if not kind.description] == []
    scene, thing = bpy.context.scene.radiance_twin, bpy.data.objects["Cube"].radiance_twin
    kinds = {**operators, "scene": scene.bl_rna, "object": thing.bl_rna, "preferences": RadianceTwinPreferences.bl_rna}
    bare = []
    for owner, kind in kinds.items():
        for setting in kind.properties:
            if setting.is_hidden or setting.identifier in ("rna_type", "name", "bl_idname"):
                continue
            choices = setting.enum_items if setting.type == "ENUM" else ()
            for one in (setting, *choices):
                if not one.description:
                    bare.append(f"{owner}.{setting.identifier}: {one.identifier}")
    assert bare == []


def test_rules_of_randomise_are_added_shown_checked_and_kept_in_files(saved: Path) -> None:
    settings = settings_of(bpy.context.scene)
    assert draw("randomise").buttons == ["", ""] and not bpy.ops.radiance_twin.remove_rule.poll()
    bpy.ops.radiance_twin.add_rule()
    assert "Pose does not say of what; write select, collection or property" in " ".join(draw("randomise").labels)
    assert render.why_not_render(bpy.context).startswith("Pose does not say of what")
    rule = settings.randomise[0]
    rule.collection, rule.on, rule.apart = bpy.data.collections["Collection"], bpy.data.objects["Cube"], True
    rule.use_scale = True
    notes = draw("randomise")
    assert {"what", "per", "collection", "on", "use_turn", "settle"} <= set(notes.properties)
    assert notes.properties.count("scale") == 2 and "turn" not in notes.properties
    assert " ".join(notes.labels) == "Views show different scenes: no twin can be trained from them"
    bpy.ops.radiance_twin.add_rule()
    light = settings.randomise[1]
    light.what, light.select, light.use_colour, light.per = "light", "L*", True, "scene"
    light.use_strength, light.strength = True, (0.5, 3.0)
    tables = render_arguments(settings)["randomise"]
    assert tables[0] == {"what": "pose", "collection": "Collection", "on": "Cube", "scale": [0.8, 1.2], "apart": True}
    assert tables[1]["strength"] == [0.5, 3.0] and tables[1]["colour"] == [[0.8, 1.0], [0.7, 1.0], [0.6, 1.0]]
    assert render.why_not_render(bpy.context) == ""
    path = str(saved / "views.toml")
    bpy.ops.radiance_twin.save_configuration(filepath=path)
    bpy.ops.radiance_twin.remove_rule()
    bpy.ops.radiance_twin.remove_rule()
    assert render_arguments(settings)["randomise"] == []
    bpy.ops.radiance_twin.load_configuration(filepath=path)
    assert render_arguments(settings)["randomise"] == tables


def test_every_rule_survives_the_panel(extension: None) -> None:
    """Each rule with all its keys, set from a table and read again; each key has a tool tip."""
    settings = settings_of(bpy.context.scene)
    there = {"object": "Cube", "collection": "Collection", "folder": str(Path.home())}
    for what in WHAT:
        table: dict[str, Any] = {"what": what}
        for name, one in keys_of(what).items():
            about = one.metadata
            table[name] = there.get(about["kind"], "scene" if name == "per" else about["example"])
        rule = settings.randomise.add()
        assert take_table(rule, table) == []
        # lists and tuples are one in a file
        assert json.loads(json.dumps(table_of(rule))) == json.loads(json.dumps(table))
        assert all(one.description for one in rule.bl_rna.properties if one.identifier not in ("rna_type", "name"))
