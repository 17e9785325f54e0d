# SPDX-License-Identifier: GPL-3.0-or-later
"""A panel below Render: the rules of what differs from view to view."""

from typing import Any

import bpy

from ...core.rendering.rules import keys_of, mistake, scene_changes
from ..jobs.worker import sentence
from ..properties import settings_of
from ..random_rules import AXES, KEYS, OPTIONAL, table_of
from .layout import Step, write

AXIS_NAMES = ("X", "Y", "Z")
COLOUR_NAMES = ("Red", "Green", "Blue")


class RADIANCE_TWIN_UL_rules(bpy.types.UIList):
    """Rules: what is drawn, of what, and how often."""

    bl_idname = "RADIANCE_TWIN_UL_rules"

    def draw_item(
        self, context: Any, layout: Any, data: Any, item: Any, icon: Any, active_data: Any, active_property: Any
    ) -> None:
        table = table_of(item)
        about = ", ".join(
            str(table[name]) for name in ("select", "collection", "property", "materials") if name in table
        )
        row = layout.row(align=True)
        row.prop(item, "what", text="", emboss=False)
        row.label(text=about, icon="ERROR" if mistake(table) else "NONE", translate=False)
        row.prop(item, "per", text="", emboss=False)


class VIEW3D_PT_radiance_twin_randomise(Step, bpy.types.Panel):
    bl_label = "Randomise"
    bl_parent_id = "VIEW3D_PT_radiance_twin_render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context.scene)
        layout = self.settings_column()
        row = layout.row()
        row.template_list(
            RADIANCE_TWIN_UL_rules.bl_idname, "", settings, "randomise", settings, "randomise_index", rows=3
        )
        buttons = row.column(align=True)
        buttons.operator("radiance_twin.add_rule", text="", icon="ADD")
        buttons.operator("radiance_twin.remove_rule", text="", icon="REMOVE")
        if 0 <= settings.randomise_index < len(settings.randomise):
            rule = settings.randomise[settings.randomise_index]
            draw_rule(layout, rule)
            found = mistake(table_of(rule))
            if found is not None:
                write(layout, context, sentence(found[1]), icon="ERROR")
        if scene_changes([table_of(rule) for rule in settings.randomise]):
            write(layout, context, "Views show different scenes: no twin can be trained from them", icon="INFO")


def draw_rule(layout: bpy.types.UILayout, rule: Any) -> None:
    """The keys of a rule; ranges with a switch each."""
    for name in ("what", "per"):
        layout.prop(rule, name)
    for name in keys_of(rule.what):
        kind = KEYS[name]["kind"]
        if name == "per":
            continue
        if kind not in OPTIONAL:
            layout.prop(rule, name)
            continue
        used = getattr(rule, f"use_{name}")
        if kind in ("number", "whole"):
            row = layout.row(heading=rule.bl_rna.properties[name].name)
            row.prop(rule, f"use_{name}", text="")
            value = row.row()
            value.active = used
            value.prop(rule, name, text="")
            continue
        layout.prop(rule, f"use_{name}")
        if used:
            _ends(layout, rule, name, kind)


def _ends(layout: bpy.types.UILayout, rule: Any, name: str, kind: str) -> None:
    """From and to, of a box for each axis."""
    axes = (COLOUR_NAMES if name == "colour" else AXIS_NAMES)[:AXES] if kind == "box" else ("From",)
    column = layout.column(align=True)
    for axis, label in enumerate(axes):
        row = column.row(align=True)
        row.prop(rule, name, index=2 * axis, text=label)
        row.prop(rule, name, index=2 * axis + 1, text="")


register, unregister = bpy.utils.register_classes_factory((RADIANCE_TWIN_UL_rules, VIEW3D_PT_radiance_twin_randomise))
