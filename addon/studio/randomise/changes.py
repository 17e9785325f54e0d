# SPDX-License-Identifier: GPL-3.0-or-later
"""What was changed of a file, and the way back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import bpy

from ....core.errors import UserError


class Changes(ExitStack):
    """Undoes every change in reverse order when it is left, also by an exception."""

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Set a property.

        Raises:
            UserError: it is one of another file, which cannot refer to this one.
        """
        before = getattr(owner, name)
        # a vector is a window into the owner, which would show the new value
        before = tuple(before) if hasattr(before, "__len__") and not isinstance(before, str) else before
        try:
            setattr(owner, name, value)
        except AttributeError as error:
            raise _is_linked(owner) from error
        self.callback(setattr, owner, name, before)
        if isinstance(value, bpy.types.ID) and getattr(owner, name) != value:  # Blender does not always tell
            raise _is_linked(owner)

    def freeze(self, owner: Any) -> None:
        """Keep what animation makes of a datablock in this frame: a render would evaluate it again, over our values."""
        animation = owner.animation_data
        if animation is None:
            return
        self.put(animation, "use_nla", False)
        for driver in animation.drivers:
            self.put(driver, "mute", True)
        if animation.action is not None:
            self.callback(_give_back, animation, animation.action, animation.action_slot)
            animation.action = None

    def add(self, collection: Any, name: str, *arguments: Any) -> Any:
        """A new datablock that goes again, like `bpy.data.objects` and its name."""
        made = collection.new(name, *arguments)
        self.callback(collection.remove, made)
        return made

    def picture(self, path: str) -> bpy.types.Image:
        """A picture from a file, that goes again."""
        image = bpy.data.images.load(path)
        self.callback(bpy.data.images.remove, image)
        return image


def _is_linked(owner: Any) -> UserError:
    return UserError(
        f"{owner.id_data.name} is linked from another file, where a rule of randomise cannot change it; "
        "make it local, or a library override"
    )


def _give_back(animation: bpy.types.AnimData, action: bpy.types.Action, slot: Any) -> None:
    animation.action = action
    animation.action_slot = slot
