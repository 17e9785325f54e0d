# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading stages from an OpenColorIO configuration: small ones whose results are known.

tests/addon/test_view_transform.py holds Blender's own configurations against Blender.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiance_twin.core.colour import ViewTransform, linear_to_srgb
from radiance_twin.core.ocio import UnknownConfiguration, view_stages, white_balance
from radiance_twin.core.yaml_subset import parse

CONFIGURATION = """\
# a comment, with: a colon
ocio_profile_version: 2
search_path: "luts:curves"
description: |
  Anything: may stand here,
    # even this
roles:
  scene_linear: Linear
  cie_xyz_d65_interchange: XYZ

displays:
  sRGB:
    - !<View> {name: Standard, colorspace: sRGB}
    - !<View> {name: Film, colorspace: Film}
    - !<View> {name: Raw, colorspace: Data}
    - !<View> {name: Camera, colorspace: Camera}
    - !<View> {name: Odd, colorspace: Odd}
    - !<View> {name: Shifted, colorspace: Shifted}
    - !<View> {name: Doubled, view_transform: Doubled, display_colorspace: Screen}
    - !<View> {name: Screen, colorspace: Screen}

default_view_transform: Doubled

view_transforms:
  - !<ViewTransform>
    name: Doubled
    to_scene_reference: !<MatrixTransform> {matrix: [0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 1]}

display_colorspaces:
  - !<ColorSpace>
    name: Screen
    from_display_reference: !<ExponentTransform> {value: 2, direction: inverse}

colorspaces:
  - !<ColorSpace>
    name: Linear
    aliases: [lin, "quoted: name"]
    isdata: false

  - !<ColorSpace>
    name: XYZ
    from_scene_reference: !<MatrixTransform> {matrix: [0.5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]}

  - !<ColorSpace>
    name: sRGB
    from_scene_reference: !<GroupTransform>
      children:
        - !<ColorSpaceTransform> {src: lin, dst: XYZ}  # there and back
        - !<ColorSpaceTransform> {src: XYZ, dst: Linear}
        - !<ExponentWithLinearTransform> {gamma: 2.4, offset: 0.055, direction: inverse}

  - !<ColorSpace>
    name: Film Log
    from_scene_reference: !<GroupTransform>
      children:
        - !<AllocationTransform> {allocation: lg2, vars: [-8, 8]}
    to_scene_reference: !<AllocationTransform> {allocation: lg2, vars: [-8, 8], direction: inverse}

  - !<ColorSpace>
    name: Film
    from_scene_reference: !<GroupTransform>
      children:
        - !<ColorSpaceTransform> {src: Linear, dst: Film Log}
        - !<FileTransform> {src: swap.cube, interpolation: tetrahedral}
        - !<FileTransform> {src: square.spi1d, interpolation: linear}

  - !<ColorSpace>
    name: Data
    isdata: true

  - !<ColorSpace>
    name: Camera
    from_scene_reference: !<LogCameraTransform> {base: 10}

  - !<ColorSpace>
    name: Odd
    from_scene_reference: !<FileTransform> {src: swap.cube, interpolation: linear}

  - !<ColorSpace>
    name: Shifted
    from_scene_reference: !<GroupTransform>
      children:
        - !<MatrixTransform> {matrix: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], offset: [0.1, 0.2, 0.3, 0]}
        - !<RangeTransform> {min_in_value: 0, min_out_value: 0, max_in_value: 0.5, max_out_value: 0.5}

looks:
  - !<Look>
    name: Bright Screen
    process_space: Screen
    transform: !<MatrixTransform> {matrix: [4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1]}
  - !<Look>
    name: Contrast
    process_space: Film Log
    transform: !<GroupTransform>
      children:
        - !<GradingPrimaryTransform>
          style: log
          contrast: {rgb: [2, 2, 2], master: 1}
          saturation: 0.5
          pivot: {contrast: -0.2}
  - !<Look>
    name: There and back
    process_space: Film Log
    transform: !<GroupTransform>
      children:
        - !<FileTransform> {src: square.spi1d, interpolation: linear}
        - !<FileTransform> {src: square.spi1d, interpolation: linear, direction: inverse}
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A configuration with a table that swaps red and blue, and a curve that squares."""
    (tmp_path / "luts").mkdir()
    (tmp_path / "curves").mkdir()
    nodes = [f"{b} {g} {r}" for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    header = ['TITLE "a table"', "# from 0 to 1", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1.0 1.0 1.0", "LUT_3D_SIZE 2"]
    (tmp_path / "luts" / "swap.cube").write_text("\n".join([*header, "", *nodes, ""]))
    squares = "\n".join(f" {(i / 1023) ** 2:.9f}" for i in range(1024))
    head = "Version 1\nFrom 0.000000 1.000000\nLength 1024\nComponents 1\n"
    (tmp_path / "curves" / "square.spi1d").write_text(f"{head}{{\n{squares}\n}}\n")
    path = tmp_path / "config.ocio"
    path.write_text(CONFIGURATION)
    return path


def shown(path: Path, view: str, colours: object, look: str = "None", gamma: float = 1.0) -> np.ndarray:
    stages = view_stages(path, display="sRGB", view=view, look=look, gamma=gamma)
    return ViewTransform(stages, "sRGB", view, look, 0.0, gamma).apply(np.asarray(colours))


COLOURS = 2.0 ** np.random.default_rng(2).uniform(-7.5, 7.5, (200, 3))
LOG = (np.log2(COLOURS) + 8.0) / 16.0


def test_standard_is_the_srgb_curve_and_matrices_that_cancel_are_gone(configuration):
    assert shown(configuration, "Standard", COLOURS) == pytest.approx(linear_to_srgb(COLOURS), abs=1e-5)
    stages = view_stages(configuration, display="sRGB", view="Standard", look="None", gamma=2.0)
    assert [stage.kind for stage in stages] == ["encode", "power"]
    assert shown(configuration, "Standard", COLOURS, gamma=2.0) == pytest.approx(
        linear_to_srgb(COLOURS) ** 0.5, abs=1e-5
    )


def test_data_are_shown_as_they_are(configuration):
    assert shown(configuration, "Raw", COLOURS) == pytest.approx(np.clip(COLOURS, 0, 1))


def test_tables_and_curves_come_from_their_files(configuration):
    assert shown(configuration, "Film", COLOURS) == pytest.approx(LOG[:, ::-1] ** 2, abs=1e-5)


def test_offsets_and_ranges(configuration):
    expected = np.clip(COLOURS + np.array([0.1, 0.2, 0.3]), 0.0, 0.5)
    assert shown(configuration, "Shifted", COLOURS) == pytest.approx(expected, abs=1e-6)


def test_a_displays_colours_are_reached_and_left_through_a_view_transform(configuration):
    dark = COLOURS / 1024.0
    for view in ("Doubled", "Screen"):
        assert shown(configuration, view, dark) == pytest.approx(np.sqrt(2.0 * dark), abs=1e-5)
    # there (2 x)^(1/2), four times that, and back
    assert shown(configuration, "Standard", dark, "Bright Screen") == pytest.approx(
        linear_to_srgb(16.0 * dark), abs=1e-5
    )


def test_a_look_is_applied_in_its_own_space(configuration):
    graded = (LOG - 0.4) * 2.0 + 0.4
    graded = 0.5 * graded + 0.5 * (graded @ [0.2126, 0.7152, 0.0722])[:, None]
    expected = np.clip(graded, 0.0, 1.0)[:, ::-1] ** 2
    assert shown(configuration, "Film", COLOURS, "Contrast") == pytest.approx(expected, abs=1e-5)


def test_a_curve_and_its_inverse_cancel(configuration):
    found = shown(configuration, "Film", COLOURS, "There and back")
    assert found == pytest.approx(LOG[:, ::-1] ** 2, abs=1e-4)


def test_white_balance_makes_the_white_point_white(configuration):
    white = np.array([1.3, 0.95, 0.6])
    balance = white_balance(configuration, "scene_linear", white)
    assert balance @ white == pytest.approx(np.ones(3))
    assert white_balance(configuration, "Linear", np.ones(3)) == pytest.approx(np.eye(3))


@pytest.mark.parametrize(
    ("view", "look"), [("Camera", "None"), ("Odd", "None"), ("Nothing", "None"), ("Film", "Nothing")]
)
def test_what_has_no_stage_is_refused(configuration, view, look):
    with pytest.raises(UnknownConfiguration):
        shown(configuration, view, COLOURS, look)


@pytest.mark.parametrize(
    "change",
    [
        ("    name: XYZ", "  name XYZ"),
        ("vars: [-8, 8]", "vars: [-8, 8"),
        ("displays:", "exhibits:"),
        ("swap.cube", "lost.cube"),
        ("from_scene_reference: !<MatrixTransform>", "from_scene_reference: !<Sorcery>"),
        ("lg2", "log"),
    ],
)
def test_damaged_configurations_are_refused(configuration, change):
    configuration.write_text(CONFIGURATION.replace(*change))
    with pytest.raises(UnknownConfiguration):
        [shown(configuration, view, COLOURS) for view in ("Film", "Standard")]


def test_a_table_of_another_domain_is_refused(configuration):
    table = configuration.parent / "luts" / "swap.cube"
    table.write_text(table.read_text().replace("DOMAIN_MAX 1.0 1.0 1.0", "DOMAIN_MAX 4 4 4"))
    with pytest.raises(UnknownConfiguration, match="0 to 1"):
        shown(configuration, "Film", COLOURS)


def test_the_yaml_of_configurations():
    text = """\
    a: {b: [1, 'two, three', {c: d}], "e": f}   # comment
    list:
    - one
    - !<Tag> {x: y}
    - !<Tag>
       deeper: {z: "#"}
    empty:
    last: 'it'
    """
    assert parse(text) == {
        "a": {"b": ["1", "two, three", {"c": "d"}], "e": "f"},
        "list": ["one", {"!": "Tag", "x": "y"}, {"!": "Tag", "deeper": {"z": "#"}}],
        "empty": None,
        "last": "it",
    }
    for damaged in ("a: {b", "a: b\n  c: d", "just words", "a: [1] x", "a: [1, 2}", "a: {b: [1}"):
        with pytest.raises(ValueError, match="cannot read"):
            parse(damaged)
