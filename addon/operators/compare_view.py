# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison in the 3D view: choosing it, holding a key for the other side, amplifying, and leaving.

The settings hold what is compared (viewport/compare/settings.py); these are the keys for them, which can be changed in
Blender's preferences like all others: 3D View, Radiance Twin.
"""

from __future__ import annotations

from typing import Any

import bpy

from ..viewport.compare.settings import MODE_ITEMS, compared_twin, comparison_of, hold, is_compared
from . import can_run

AMPLIFICATION_STEP = 2.0


class RADIANCE_TWIN_OT_compare_in_view(bpy.types.Operator):
    """Hold the twin against the live render, pixel by pixel, in this 3D view"""

    bl_idname = "radiance_twin.compare_in_view"
    bl_label = "Compare with Twin"

    mode: bpy.props.EnumProperty(
        name="Compare", description="How both sides are shown", items=MODE_ITEMS, default="WIPE"
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return next(text for mode, _, text in MODE_ITEMS if mode == properties.mode)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        space = context.space_data
        if not isinstance(space, bpy.types.SpaceView3D):
            return can_run(cls, "Point at a 3D view")
        return can_run(cls, "" if compared_twin(context) else "Load a twin first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = comparison_of(context.workspace)
        # chosen once more it is switched off
        settings.mode = "OFF" if settings.mode == self.mode else self.mode
        return {"FINISHED"}


class RADIANCE_TWIN_OT_leave_comparison(bpy.types.Operator):
    """Show the render again as it is"""

    bl_idname = "radiance_twin.leave_comparison"
    bl_label = "Leave Comparison"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        # elsewhere the key keeps its other meanings
        return is_compared(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        comparison_of(context.workspace).mode = "OFF"
        return {"FINISHED"}


class RADIANCE_TWIN_OT_hold_side(bpy.types.Operator):
    """Show one side in the whole view for as long as the key is held"""

    bl_idname = "radiance_twin.hold_side"
    bl_label = "Blink"

    key: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_compared(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.key = event.type
        hold(True)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        released = event.type == self.key and event.value == "RELEASE"
        if released or event.type in {"ESC", "WINDOW_DEACTIVATE"}:
            hold(False)
            return {"FINISHED"}
        # the key repeats itself while it is down; all else, navigation above all, goes on
        return {"RUNNING_MODAL"} if event.type == self.key else {"PASS_THROUGH"}

    def cancel(self, context: bpy.types.Context) -> None:
        # another file was opened, or the window closed
        hold(False)


class RADIANCE_TWIN_OT_amplify(bpy.types.Operator):
    """Make more or less of the difference between render and twin"""

    bl_idname = "radiance_twin.amplify"
    bl_label = "Amplify Difference"

    factor: bpy.props.FloatProperty(
        name="Factor",
        description="How much stronger differences are shown",
        default=AMPLIFICATION_STEP,
        min=0.1,
        max=10.0,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_compared(context):
            return False
        settings = comparison_of(context.workspace)
        return settings.mode == "DIFFERENCE" and settings.difference != "FLIP"

    def execute(self, context: bpy.types.Context) -> set[str]:
        comparison_of(context.workspace).amplification *= self.factor
        return {"FINISHED"}


def draw_in_view_menu(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.separator()
    self.layout.operator_menu_enum(RADIANCE_TWIN_OT_compare_in_view.bl_idname, "mode", icon="ARROW_LEFTRIGHT")


CLASSES = (
    RADIANCE_TWIN_OT_compare_in_view,
    RADIANCE_TWIN_OT_leave_comparison,
    RADIANCE_TWIN_OT_hold_side,
    RADIANCE_TWIN_OT_amplify,
)
# J flips the slots of a render result, too, and is free in the 3D view
KEYS: tuple[tuple[type[bpy.types.Operator], Any, dict[str, Any], dict[str, Any]], ...] = (
    (RADIANCE_TWIN_OT_hold_side, "J", {}, {}),
    (RADIANCE_TWIN_OT_compare_in_view, "J", {"shift": True}, {"mode": "WIPE"}),
    (RADIANCE_TWIN_OT_leave_comparison, "ESC", {}, {}),
    # + is a key of its own on some keyboards, and = with Shift on others
    (RADIANCE_TWIN_OT_amplify, "EQUAL", {"shift": True}, {"factor": AMPLIFICATION_STEP}),
    (RADIANCE_TWIN_OT_amplify, "EQUAL", {}, {"factor": AMPLIFICATION_STEP}),
    (RADIANCE_TWIN_OT_amplify, "PLUS", {}, {"factor": AMPLIFICATION_STEP}),
    (RADIANCE_TWIN_OT_amplify, "MINUS", {}, {"factor": 1.0 / AMPLIFICATION_STEP}),
)
_keys: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.VIEW3D_MT_view.append(draw_in_view_menu)  # type: ignore[arg-type]
    # there is no key configuration in the background
    configuration = bpy.context.window_manager.keyconfigs.addon
    if configuration is not None:
        keys = configuration.keymaps.new(name="3D View", space_type="VIEW_3D")
        for operator, key, modifiers, properties in KEYS:
            item = keys.keymap_items.new(operator.bl_idname, key, "PRESS", **modifiers)
            for name, value in properties.items():
                setattr(item.properties, name, value)
            _keys.append((keys, item))


def unregister() -> None:
    for keys, item in _keys:
        keys.keymap_items.remove(item)
    _keys.clear()
    bpy.types.VIEW3D_MT_view.remove(draw_in_view_menu)  # type: ignore[arg-type]
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
