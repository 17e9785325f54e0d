# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the command, shared by `radiance-twin` and `blender --command radiance_twin`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from .errors import UsageError
from .presets import BAKES, PRESETS
from .rendering.configuration import DEFAULTS, FIELDS, SECTIONS, WITH_POSES
from .rendering.configuration_file import read_configuration, rule_from_text

DEVICES = ("auto", "cuda", "cpu")
IMPORTS = ("auto", "nerf", "ngp", "nerfstudio", "colmap")
BENCHMARKS = ("nerf-synthetic",)
# of the files of each; the first is the usual one
EXPORT_ENDINGS = {"vdb": (".vdb",), "mesh": (".glb", ".ply"), "points": (".ply",), "splats": (".ply",)}
# what a dataset becomes, each in a folder
DATASET_EXPORTS = (
    *("nerf", "ngp", "nerfstudio", "colmap", "colmap-text"),
    *("coco", "coco-polygons", "yolo", "yolo-seg", "yolo-pose", "bop", "kitti", "kubric"),
    *("webdataset", "hdf5", "usd", "folder"),
)
DATASET_PICTURES = ("png", "exr")
LOOKS = ("standard", "scene")
EXPORT_RESOLUTIONS = (64, 128, 256, 512)
TURNTABLE_FRAMES = 48
RUNTIME_ACTIONS = ("install", "update", "remove", "status")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parse(arguments: Sequence[str], program: str, inside_blender: bool = False) -> argparse.Namespace:
    """Read a command line. Inside Blender the open file is the scene, and the files' names follow from it.

    Raises:
        UsageError: unknown words or values.
    """
    parser = _Parser(prog=program, description="A scene rendered by Cycles, and its neural twin, side by side.")
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    if not inside_blender:
        _add_demo(commands)
    _add_render(commands, inside_blender)
    if not inside_blender:
        _add_import(commands)
    _add_train(commands, inside_blender)
    _add_compare(commands, inside_blender)
    if not inside_blender:
        _add_fix_it(commands)
        _add_view(commands)
        _add_export(commands)
        _add_sheet(commands)
        _add_check(commands)
        _add_bench(commands)
        _add_verify(commands)
        _add_config(commands)
        _add_info(commands)
    _add_runtime(commands)
    _command(commands, "doctor", "what is wrong with this machine, each with the remedy; to be pasted into reports")
    words = parser.parse_args(list(arguments))
    usual = {} if getattr(words, "config", None) is None else read_configuration(words.config)
    if getattr(words, "poses", None) is not None:
        usual = {**WITH_POSES, **usual, "rig": WITH_POSES["rig"]}
    if not usual:
        return words
    # once more, so that flags win over the file and the file over what is usual
    commands.choices[words.command].set_defaults(**usual)
    return parser.parse_args(list(arguments))


def settings_of(namespace: argparse.Namespace) -> dict[str, Any]:
    """The settings of a stage as JSON can carry them: what was parsed, less the command's own words."""
    return {name: value for name, value in vars(namespace).items() if name not in ("command", "json", "config")}


def resolution(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT."""
    width, separator, height = text.lower().partition("x")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is no resolution; write it like 200x200")
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no resolution; write it like 200x200") from None


def _command(commands: Any, name: str, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", "the whole way on a sample scene: render, train, compare")
    parser.add_argument("--quick", action="store_true", help="smaller and rougher: about three minutes on two cores")
    parser.add_argument(
        "-o", "--output", default="radiance_twin_demo", metavar="FOLDER", help="where the files go (%(default)s)"
    )
    parser.add_argument("--blender", metavar="PATH", help="the Blender that renders, instead of the package bpy")


def _add_render(commands: Any, inside_blender: bool) -> None:
    parser = _command(commands, "render", "posed views of a scene by Cycles, as one .h5 dataset")
    if not inside_blender:
        parser.add_argument("scene", metavar="SCENE.blend")
    _add_output(parser, inside_blender, "the dataset", "//radiance_twin/NAME.h5")
    _add_configuration(parser)
    parser.add_argument(
        "--add",
        metavar="CAMERAS",
        help="render these cameras as the dataset -o was rendered, and add them to it as training views: a file of "
        "fix-it, or what --poses takes",
    )
    parser.add_argument("--allow-newer", action="store_true", help="accept a scene saved by a newer Blender")
    if not inside_blender:
        parser.add_argument("--blender", metavar="PATH", help="the Blender that renders, instead of the package bpy")


def _add_configuration(parser: argparse.ArgumentParser, usual: dict[str, Any] | None = None) -> None:
    """A flag for each setting of how a scene is rendered, and the file that holds them; `usual` wins over defaults."""
    parser.add_argument(
        "--config", metavar="X.toml", help="settings from a file (radiance-twin config prints one); flags win over it"
    )
    # as in the file
    groups = {section: parser.add_argument_group(section) if section else parser for section in SECTIONS}
    for name, one in FIELDS.items():
        group = groups[one.metadata["section"]]
        about, default = one.metadata, (usual or {}).get(name, DEFAULTS[name])
        flag, words = f"--{name.replace('_', '-')}", about["words"]
        if isinstance(default, bool):
            group.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=default, help=f"{about['help']} (%(default)s)"
            )
        elif name == "resolution":
            said = "x".join(map(str, default))
            group.add_argument(flag, type=resolution, default=default, metavar=words, help=f"{about['help']} ({said})")
        elif about["many"]:
            # a plain list of choices would be a page of usage
            said = f"{about['help']}: {', '.join(about['choices'])}" if about["choices"] else about["help"]
            group.add_argument(flag, nargs="*", default=default, metavar=words, help=said.replace("%", "%%"))
        elif isinstance(default, tuple):
            said = " ".join(f"{value:g}" for value in default)
            group.add_argument(
                flag, type=float, nargs=len(default), default=default, metavar=words, help=f"{about['help']} ({said})"
            )
        else:
            said = "" if default is None else " (%(default)s)"
            group.add_argument(
                flag,
                type=str if default is None else type(default),
                choices=about["choices"] or None,
                default=default,
                metavar=words,
                help=about["help"] + said,
            )
    parser.add_argument(
        "--randomise",
        action="append",
        type=_rule,
        default=[],
        metavar="RULE",
        help="one more rule of what differs from view to view, like 'what = \"time\", frames = [1, 50]' (see config)",
    )


def _rule(text: str) -> dict[str, Any]:
    try:
        return rule_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no rule ({error}); write it like [[randomise]] of a file"
        ) from None


def _add_import(commands: Any) -> None:
    parser = _command(commands, "import", "somebody else's posed images, as one .h5 dataset")
    parser.add_argument(
        "source", metavar="FOLDER_OR_JSON", help="a dataset of NeRF-Synthetic, instant-ngp, nerfstudio or COLMAP"
    )
    _add_output(parser, False, "the dataset", "")
    parser.add_argument("--format", choices=IMPORTS, default="auto", help="of the images' cameras (%(default)s)")
    parser.add_argument("--images", metavar="FOLDER", help="where the images lie, when not in the dataset's folder")
    parser.add_argument(
        "--background", metavar="COLOUR", help="what transparent images are shown on: black, white or R,G,B in 0..1"
    )
    parser.add_argument(
        "--distance-depth", action="store_true", help="depth files hold distances from the camera, not planar z"
    )
    parser.add_argument("--strict", action="store_true", help="fail on the first image that is missing or wrong")


def _add_train(commands: Any, inside_blender: bool) -> None:
    parser = _command(commands, "train", "a radiance field from a dataset, as one .twin")
    if not inside_blender:
        parser.add_argument("dataset", metavar="SCENE.h5")
    _add_output(parser, inside_blender, "the twin", "//radiance_twin/NAME.twin")
    parser.add_argument("--preset", choices=tuple(PRESETS), help="how long, when no number says it (preview)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to train")
    parser.add_argument("--steps", type=int, metavar="N", help="train this many steps instead")
    parser.add_argument("--until-psnr", type=float, metavar="DB", help="stop when the val views reach it")
    parser.add_argument(
        "--resume", metavar="SCENE.twin", help="go on from this twin; from an unfinished one for the rest of its time"
    )
    parser.add_argument(
        "--bake", choices=tuple(BAKES), default="normal", help="size of what the viewport draws (%(default)s)"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="what trains (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (%(default)s)")
    _add_skip_damaged(parser)


def _add_compare(commands: Any, inside_blender: bool) -> None:
    parser = _command(commands, "compare", "held-out views, both ways: metrics, maps, times, one HTML file")
    if not inside_blender:
        parser.add_argument("dataset", metavar="SCENE.h5")
        parser.add_argument("twin", metavar="SCENE.twin")
    _add_output(parser, inside_blender, "the report's folder", "//radiance_twin/NAME_report")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="what renders the field (%(default)s)")
    parser.add_argument(
        "--benchmark", choices=BENCHMARKS, help="measure as this benchmark does, to compare with others"
    )
    _add_skip_damaged(parser)
    parser.add_argument(
        "--turntable",
        type=int,
        nargs="?",
        const=TURNTABLE_FRAMES,
        default=0,
        metavar="N",
        help=f"a film of N frames once around the scene ({TURNTABLE_FRAMES} when no number is given)",
    )
    if not inside_blender:
        parser.add_argument("--scene", metavar="SCENE.blend", help="the scene, for the film's classic side")
        parser.add_argument("--blender", metavar="PATH", help="the Blender that renders it, instead of the package bpy")


def _add_fix_it(commands: Any) -> None:
    parser = _command(commands, "fix-it", "new cameras, proposed where the held-out views err and no view trains")
    parser.add_argument("dataset", metavar="SCENE.h5")
    parser.add_argument("twin", metavar="SCENE.twin")
    parser.add_argument("-o", "--output", metavar="CAMERAS.json", help="write them to a file, for render --add")
    parser.add_argument("--views", type=int, default=8, metavar="N", help="how many, at most (%(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="what renders the field (%(default)s)")


def _add_view(commands: Any) -> None:
    parser = _command(commands, "view", "one picture of a twin's field, as .png or .exr")
    parser.add_argument("twin", metavar="SCENE.twin")
    _add_output(parser, False, "the picture: .png as a screen shows it, .exr with the light itself and depth", "")
    parser.add_argument(
        "--camera", metavar="CAMERA.json", help="from where: camera_to_world [4][4], intrinsics [fx, fy, cx, cy], size"
    )
    parser.add_argument("--dataset", metavar="SCENE.h5", help="from where instead: this dataset's view number --view")
    parser.add_argument("--view", type=int, metavar="N", help="counted from 0")
    parser.add_argument("--size", type=resolution, metavar="WxH", help="pixels, when not the camera's own")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="what renders the field (%(default)s)")


def _add_export(commands: Any) -> None:
    parser = _command(
        commands,
        "export",
        "a dataset for other trainers; or a twin as a volume, a mesh, points or splats, and what that loses",
    )
    parser.add_argument("source", metavar="X.h5|X.twin")
    _add_output(parser, False, "of a dataset the folder; of a twin the file: .vdb, .glb or .ply", "")
    parser.add_argument(
        "--format",
        choices=(*DATASET_EXPORTS, *EXPORT_ENDINGS),
        required=True,
        metavar="FORMAT",
        help=f"of a dataset {', '.join(DATASET_EXPORTS)}; of a twin {', '.join(EXPORT_ENDINGS)}; points of both",
    )
    dataset = parser.add_argument_group("of a dataset")
    dataset.add_argument("--images", choices=DATASET_PICTURES, default="png", help="kind of pictures (%(default)s)")
    dataset.add_argument(
        "--look",
        choices=LOOKS,
        default="standard",
        help="what PNG pictures go through: sRGB, which trainers can undo, or the scene's view transform (%(default)s)",
    )
    dataset.add_argument("--points", type=int, default=100_000, metavar="N", help="on the surfaces (%(default)s)")
    _add_skip_damaged(dataset)
    twin = parser.add_argument_group("of a twin")
    twin.add_argument(
        "--dataset", metavar="SCENE.h5", help="what it was trained from: its test views say what the export loses"
    )
    twin.add_argument(
        "--resolution",
        type=int,
        choices=EXPORT_RESOLUTIONS,
        default=256,
        help="voxels along the twin's cube (%(default)s)",
    )
    twin.add_argument("--device", choices=DEVICES, default="auto", help="what renders the field (%(default)s)")
    twin.add_argument("--blender", metavar="PATH", help="the Blender that writes a .vdb, instead of the package bpy")


def _add_sheet(commands: Any) -> None:
    parser = _command(commands, "sheet", "a dataset looked at: its passes as a contact sheet, its statistics as a page")
    parser.add_argument("dataset", metavar="SCENE.h5")
    _add_output(parser, False, "the folder", "")
    parser.add_argument("--views", type=int, default=12, metavar="N", help="on the contact sheet (%(default)s)")


def _add_check(commands: Any) -> None:
    parser = _command(commands, "check", "looks a scene over before it is rendered, and says what that will cost")
    parser.add_argument("scene", metavar="SCENE.blend")
    _add_configuration(parser)
    parser.add_argument("--allow-newer", action="store_true", help="accept a scene saved by a newer Blender")
    parser.add_argument("--blender", metavar="PATH", help="the Blender that renders, instead of the package bpy")


def _add_bench(commands: Any) -> None:
    parser = _command(commands, "bench", "how fast a scene's views are rendered, and what memory they leave behind")
    parser.add_argument("what", choices=("render",))
    parser.add_argument("scene", metavar="SCENE.blend")
    _add_configuration(
        parser, {"views": 1000, "val_views": 0, "test_views": 0, "resolution": (400, 400), "samples": 64}
    )
    parser.add_argument("--allow-newer", action="store_true", help="accept a scene saved by a newer Blender")
    parser.add_argument("--blender", metavar="PATH", help="the Blender that renders, instead of the package bpy")


def _add_verify(commands: Any) -> None:
    parser = _command(commands, "verify", "renders some of a dataset's views again and compares them bit by bit")
    parser.add_argument("dataset", metavar="SCENE.h5")
    parser.add_argument("scene", metavar="SCENE.blend", help="what it was rendered from")
    parser.add_argument("--views", type=int, default=3, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--blender", metavar="PATH", help="the Blender that renders, instead of the package bpy")


def _add_config(commands: Any) -> None:
    parser = _command(commands, "config", "the settings of render as a TOML file, each explained")
    parser.add_argument("dataset", nargs="?", metavar="SCENE.h5", help="those that this dataset was rendered with")


def _add_info(commands: Any) -> None:
    parser = _command(commands, "info", "what a dataset or a twin holds")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--digest", action="store_true", help="print one hash of a dataset's contents, without dates")
    parser.add_argument("--check", action="store_true", help="read all of it, and name what is damaged")


def _add_skip_damaged(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--skip-damaged", action="store_true", help="use the sound views of a damaged dataset")


def _add_runtime(commands: Any) -> None:
    about = "the Python with PyTorch that does the work for Blender: install, update, remove it, or tell what there is"
    parser = _command(commands, "runtime", about)
    parser.add_argument("action", choices=RUNTIME_ACTIONS, metavar="|".join(RUNTIME_ACTIONS))
    parser.add_argument(
        "--backend", choices=("auto", "cpu", "cuda"), default="auto", help="PyTorch's accelerator (%(default)s)"
    )
    parser.add_argument("--wheels", metavar="DIR", help="install from this folder of wheels, without a network")
    parser.add_argument("--python", metavar="PATH", help="make it of this Python instead of fetching one")


def _add_output(parser: argparse.ArgumentParser, inside_blender: bool, what: str, default: str) -> None:
    if inside_blender:
        parser.add_argument("-o", "--output", metavar="PATH", help=f"{what}; {default} when not given")
    else:
        parser.add_argument("-o", "--output", required=True, metavar="PATH", help=what)
