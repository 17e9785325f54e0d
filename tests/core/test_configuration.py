# SPDX-License-Identifier: GPL-3.0-or-later
"""How a scene is rendered, as a file: what is written is read, and every mistake is told with its place."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiance_twin.core.arguments import parse, settings_of
from radiance_twin.core.cli import main
from radiance_twin.core.configuration import (
    DEFAULTS,
    FIELDS,
    Configuration,
    configuration_text,
    read_configuration,
)
from radiance_twin.core.errors import UserError
from radiance_twin.core.passes import ASKED_PASSES
from radiance_twin.core.render import RenderSettings

from .labelled_dataset import CENTRED, write


def file_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "views.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_printed_can_be_read_and_is_what_is_usual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    text = capsys.readouterr().out
    read = read_configuration(file_of(tmp_path, text))
    assert read == {name: value for name, value in DEFAULTS.items() if value is not None}
    # another reader sees the same
    assert tomllib.loads(text)["cameras"]["resolution"] == [200, 200]
    for name, one in FIELDS.items():
        assert f"{name} = " in text and one.metadata["help"].split()[0] in text


def test_a_file_says_what_flags_would_say_and_flags_win(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        'version = 1\nseed = 7\n[cameras]\nrig = "rings"\nviews = 20\nresolution = [320, 180]\nelevation = [10, 60]\n'
        'target = "Vase \\"old\\""\n[render]\ndenoise = false\nfilm = "world"\n',
    )
    by_file = settings_of(parse(["render", "a.blend", "-o", "a.h5", "--config", str(path), "--views", "5"], "x"))
    flags = "--seed 7 --rig rings --views 5 --resolution 320x180 --elevation 10 60 --no-denoise --film world"
    by_flags = settings_of(parse(["render", "a.blend", "-o", "a.h5", *flags.split(), "--target", 'Vase "old"'], "x"))
    same = [{name: list(v) if isinstance(v, tuple) else v for name, v in s.items()} for s in (by_file, by_flags)]
    assert same[0] == same[1]
    assert RenderSettings(**by_file).resolution == (320, 180)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 2**31),
            "views": st.integers(1, 100000),
            "resolution": st.tuples(st.integers(1, 65536), st.integers(1, 65536)),
            "target": st.text(st.characters(exclude_categories=("Cs",)), min_size=1),
            "turns": st.floats(0.01, 1000),
            "stretch": st.tuples(*[st.floats(0.001, 1e6)] * 3),
            "denoise": st.booleans(),
            "film": st.sampled_from(("auto", "world", "transparent")),
            "passes": st.lists(st.sampled_from(sorted(ASKED_PASSES))).map(tuple),
            "keypoints": st.lists(st.text('abcü*"\\', min_size=1)).map(tuple),
        },
    )
)
def test_any_settings_survive_the_file(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    path = file_of(tmp_path_factory.mktemp("toml"), configuration_text(values, explained=False))
    read = read_configuration(path)
    assert {name: read[name] for name in values} == values
    assert Configuration(**read) == Configuration(**values)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[cameras]\nveiws = 3", "line 2: [cameras] has no veiws; did you mean views?"),
        ("views = 3", "line 1: views stands in the top of the file; it belongs to [cameras]"),
        ("[render]\nviews = 3", "line 2: views stands in [render]; it belongs to [cameras]"),
        ("[camera]\nviews = 3", "line 1: the file has no camera; did you mean cameras?"),
        ('# a comment\n\n[cameras]\nviews = "many"', 'line 4: views is "many"; write a whole number, like 60'),
        ("[cameras]\nviews = 2.5", "line 2: views is 2.5; write a whole number, like 60"),
        ("[cameras]\nviews = true", "line 2: views is true; write a whole number, like 60"),
        ("[cameras]\nviews = 0", "line 2: views is 0; it must be at least 1"),
        ("[cameras]\nresolution = [200]", "line 2: resolution is [200]; write 2 whole numbers, like [200, 200]"),
        ("[cameras]\nresolution = [200, 0]", "line 2: resolution is 0; it must be between 1 and 65536"),
        ("[cameras]\nresolution = 200", "line 2: resolution is 200; write 2 whole numbers, like [200, 200]"),
        ('[cameras]\nrig = "carousel"', "line 2: rig carousel is unknown; choose one of hemisphere, sphere, orbit"),
        ("[cameras]\nrig = 3", "line 2: rig is 3; write a name in quotes"),
        ("[cameras]\nelevation = [50, 20]", "line 2: elevation is 50 20; it must be two rising angles"),
        ("[cameras]\nturns = nan", "line 2: turns is nan"),
        ('[render]\ndenoise = "yes"', 'line 2: denoise is "yes"; write true or false'),
        ("[render]\nsamples = 99999999999", "line 2: samples is 99999999999; it must be between 1 and 16777216"),
        ("[render]\npasses = 'albedo'", 'line 2: passes is "albedo"; write a list of texts, like ["..."]'),
        ("[render]\npasses = ['colour']", "line 2: passes colour is unknown; choose one of albedo, diffuse"),
        ("[labels]\nclasses = ['Chair*']", "line 2: classes has no rule 'Chair*'; write it like 'chair = Chair*'"),
        ("version = 2", "is for a newer Radiance Twin (version 2); update yours"),
        ('version = "new"', 'line 1: version is "new"; write version = 1'),
        ("[cameras", "is no TOML"),
        ("seed = 1\nseed = 2", "is no TOML"),
        ("[cameras]\nviews = {a = 1}", "line 2: views is"),
        ("[[cameras]]\nviews = 1", "cameras"),
    ],
)
def test_every_mistake_is_told_in_one_line_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_configuration(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and complaint in said and "\n" not in said


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read .*nowhere.toml: no such file"):
        read_configuration(tmp_path / "nowhere.toml")
    (tmp_path / "views.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no TOML"):
        read_configuration(tmp_path / "views.toml")
    (tmp_path / "views.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(UserError, match="larger than a configuration can be"):
        read_configuration(tmp_path / "views.toml")


def test_an_imported_dataset_has_no_such_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "scene.h5", CENTRED)
    assert main(["config", str(path)]) == 1
    assert "was imported, not rendered" in capsys.readouterr().err
