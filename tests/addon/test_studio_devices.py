# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processor Cycles is told to render on, whatever is in this machine."""

from types import SimpleNamespace
from typing import Any

import pytest

from radiance_twin.addon import compat
from radiance_twin.addon.studio import devices
from radiance_twin.core.errors import UserError

from .scenes import new_scene


class Machine:
    """Cycles' preferences on a machine with the given GPUs, by kind; as Cycles does, it lists the CPU with each."""

    def __init__(self, **gpus: list[str]) -> None:
        self.compute_device_type = "NONE"
        self.devices = [SimpleNamespace(name="A processor", type="CPU", use=False)]
        for kind, names in gpus.items():
            self.devices += [SimpleNamespace(name=name, type=kind, use=False) for name in names]

    def get_device_types(self, context: Any) -> list[tuple[str, str, str, int]]:
        return [(kind, kind, "", 0) for kind in ("NONE", "CUDA", "OPTIX", "HIP", "ONEAPI")]

    def get_devices_for_type(self, kind: str) -> list[SimpleNamespace]:
        found = [device for device in self.devices if device.type == kind]
        return [*found, self.devices[0]] if found else []

    @property
    def used(self) -> list[tuple[str, str]]:
        return [(device.type, device.name) for device in self.devices if device.use]


@pytest.mark.parametrize(
    ("gpus", "wanted", "kind", "text", "used"),
    [
        ({}, "auto", "cpu", "CPU (3 threads)", []),
        ({"CUDA": ["A card"]}, "auto", "cuda", "CUDA: A card", [("CUDA", "A card")]),
        (
            {"CUDA": ["A card", "B card"], "OPTIX": ["A card", "B card"]},
            "auto",
            "optix",
            "OptiX: A card, B card",
            [("OPTIX", "A card"), ("OPTIX", "B card")],
        ),
        ({"CUDA": ["A card"], "OPTIX": ["A card"]}, "cuda", "cuda", "CUDA: A card", [("CUDA", "A card")]),
        ({"HIP": ["A card"]}, "cpu", "cpu", "CPU (3 threads)", []),
    ],
)
def test_the_best_device_is_used_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, gpus: dict, wanted: str, kind: str, text: str, used: list
) -> None:
    scene = new_scene()
    scene.render.threads_mode, scene.render.threads = "FIXED", 3
    machine = Machine(**gpus)
    monkeypatch.setattr(devices, "cycles_preferences", lambda: machine)
    device = devices.use_device(scene, wanted)
    assert (device.kind, device.text) == (kind, text)
    assert compat.cycles_of(scene).device == ("CPU" if kind == "cpu" else "GPU")
    if kind != "cpu":
        assert (machine.compute_device_type, machine.used) == (kind.upper(), used)


@pytest.mark.parametrize("wanted", ["optix", "metal"])
def test_a_named_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setattr(devices, "cycles_preferences", lambda: Machine(CUDA=["A card"]))
    with pytest.raises(UserError, match="device here; use --cycles-device auto or cpu"):
        devices.use_device(new_scene(), wanted)
