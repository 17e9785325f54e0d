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
from radiance_twin.core.errors import UsageError, UserError
from radiance_twin.core.passes import ASKED_PASSES
from radiance_twin.core.rendering.configuration import DEFAULTS, FIELDS, Configuration, check_configuration
from radiance_twin.core.rendering.configuration_file import configuration_text, read_configuration
from radiance_twin.core.rendering.render import RenderSettings
from radiance_twin.core.rendering.rules import WHAT, keys_of, read_rule, said_keys, selecting_keys

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
    # with the mark that some editors on Windows put before a text
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert read_configuration(path)["views"] == 20


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
        ("seed = 1\nrandomise = 3", "line 2: randomise is a rule each; write [[randomise]] above it"),
    ],
)
def test_every_mistake_is_told_in_one_line_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_configuration(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and complaint in said and "\n" not in said


@pytest.mark.parametrize(
    ("text", "flags", "complaint"),
    [
        ('[cameras]\nframes = "1-9"', [], "line 2: frames has no meaning with --rig hemisphere"),
        ('[cameras]\ncamera_model = "fisheye"\ndistortion = [0, 0, 1, 0, 0, 0]', [], "line 3: distortion has p1 or p2"),
        # here the flag is wrong, and the file is not
        (
            "[cameras]\nelevation = [0, 30]",
            ["--elevation", "10", "20"],
            "radiance-twin: --elevation has no meaning with",
        ),
    ],
)
def test_what_makes_no_sense_together_has_its_place_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, flags: list[str], complaint: str
) -> None:
    path = file_of(tmp_path, text)
    assert main(["render", "a.blend", "-o", "a.h5", "--config", str(path), *flags]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


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


RULES = """
[[randomise]]
what = "pose"
select = "Chair*"
turn = [[0, 0], [0, 0], [0, 360]]

[[randomise]]
what = "world"
folder = "skies"
per = "scene"
"""


def test_rules_of_randomise_are_read_written_and_joined_by_flags(tmp_path: Path) -> None:
    path = file_of(tmp_path, RULES)
    read = read_configuration(path)
    assert [rule["what"] for rule in read["randomise"]] == ["pose", "world"]
    # folders are found from where the file is
    assert read["randomise"][1]["folder"] == str(tmp_path / "skies")
    again = read_configuration(file_of(tmp_path, configuration_text(read)))
    assert again["randomise"] == read["randomise"]
    words = ["render", "a.blend", "-o", "a.h5", "--config", str(path), "--randomise", 'what = "time", frames = [1, 9]']
    by_flags = settings_of(parse(words, "x"))
    assert by_flags["randomise"][2] == {"what": "time", "frames": [1, 9]}
    check_configuration(RenderSettings(**by_flags))
    with pytest.raises(UsageError, match="is no rule"):
        parse([*words[:4], "--randomise", "pose"], "x")
    wrong = settings_of(parse([*words[:4], "--randomise", 'what = "time", frame = [1, 9]'], "x"))
    with pytest.raises(UsageError, match="--randomise, rule 1: time has no frame; did you mean frames?"):
        check_configuration(RenderSettings(**wrong))


def test_the_printed_examples_of_rules_are_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each key alone, with what it needs, is accepted as it is printed."""
    assert main(["config"]) == 0
    text = capsys.readouterr().out
    for what, kind in WHAT.items():
        assert f'# {kind.__doc__}\n# [[randomise]]\n# what = "{what}"\n' in text
        needed = dict.fromkeys(selecting_keys(what)[:1], "a")
        for name, one in keys_of(what).items():
            example = one.metadata["example"]
            assert f"# {name} = " in text
            some = said_keys(what)[-1]
            said = {} if name in said_keys(what) else {some: keys_of(what)[some].metadata["example"]}
            assert read_rule({"what": what, **needed, **said, name: example})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[randomise]]\nwhat = "poze"', "line 2: what is poze; choose one of pose, distractor"),
        ("[[randomise]]\nselect = 3", "line 1: a rule needs a what; choose one of pose"),
        ('[[randomise]]\nwhat = "pose"\nselect = "a"\ntrun = 1', "line 4: pose has no trun; did you mean turn?"),
        (
            '[[randomise]]\nwhat = "pose"\nselect = "a"\nturn = [0, 360]',
            "line 4: turn is [0, 360]; write three pairs of",
        ),
        (
            '[[randomise]]\nwhat = "pose"\nselect = "a"\nscale = [2, 1]',
            "line 4: scale is [2, 1]; write two rising numbers",
        ),
        (
            '[[randomise]]\nwhat = "pose"\nselect = "a"\nscale = [0, 1]',
            "line 4: scale has 0 in it; it must be at least 0.001",
        ),
        ('[[randomise]]\nwhat = "pose"\nselect = "a"\nsettle = 1', "line 4: settle is 1; write true or false"),
        (
            '[[randomise]]\nwhat = "pose"\nselect = "a"',
            "line 1: pose does not say what to draw; write move or inside or",
        ),
        (
            '[[randomise]]\nwhat = "light"\nstrength = [1, 2]',
            "line 1: light does not say of what; write select, collection",
        ),
        (
            '[[randomise]]\nwhat = "time"\nframes = [1.5, 3]',
            "line 3: frames is [1.5, 3]; write two rising whole numbers",
        ),
        ('[[randomise]]\nwhat = "time"\nframes = [1, 3]\nper = "day"', "line 4: per is day; choose one of view, scene"),
        (
            '[[randomise]]\nwhat = "time"\nframes = [1, 3]\n[[randomise]]\nwhat = "time"\nframes = [3, 1]',
            "line 6: frames is [3, 1]",
        ),
        (
            '[[randomise]]\nwhat = "world"\nfolder = "a"\nsun = [1, 2]',
            "line 4: folder and sun contradict each other; leave one out",
        ),
        ("[randomise]\nwhat = 1", "line 1: randomise is a rule each; write [[randomise]] above it"),
    ],
)
def test_every_mistake_in_a_rule_is_told_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_configuration(path)
    assert str(caught.value).startswith(f"{path}, {complaint}") and "\n" not in str(caught.value)


def test_poses_say_the_rig_and_the_resolution_unless_others_are_said(tmp_path: Path) -> None:
    def asked(*words: str) -> tuple[Any, ...]:
        said = settings_of(parse(["render", "a.blend", "-o", "a.h5", *words], "x"))
        return said["rig"], said["poses"], tuple(said["resolution"])

    assert asked() == ("hemisphere", None, (200, 200))
    assert asked("--poses", "a") == ("poses", "a", (0, 0))
    assert asked("--poses", "a", "--resolution", "64x48") == ("poses", "a", (64, 48))
    # a file names them from where it is
    file = file_of(tmp_path, '[cameras]\nposes = "a"\nresolution = [32, 32]')
    assert asked("--config", str(file)) == ("poses", str(tmp_path / "a"), (32, 32))
    assert asked("--config", str(file), "--poses", "b") == ("poses", "b", (32, 32))
    # flags win over it
    assert asked("--config", str(file_of(tmp_path, '[cameras]\nrig = "orbit"')), "--poses", "b")[0] == "poses"
    assert asked("--poses", "a", "--rig", "orbit")[0] == "orbit", "which is refused"
