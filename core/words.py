# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands say to people when they are done, on the command line and in the panel. Numpy alone."""

from __future__ import annotations

from typing import Any

from .comparison.words import ssim_in_words
from .doctor.checks import doctor_in_words
from .rendering.coverage import shares_in_words
from .reporting import format_bytes, format_seconds


def in_words(command: str, result: dict[str, Any]) -> str:
    """What a command says to people when it is done."""
    match command:
        case "demo" | "compare":
            return f"{metrics_in_words(result)}\nReport: {result['report']}"
        case "render":
            return f"{result['output']}: {result['views']} views in {format_seconds(result['seconds'])}"
        case "import":
            return imported_in_words(result)
        case "train":
            return (
                f"{result['output']}: {result['steps']} steps in {format_seconds(result['seconds'])}, "
                f"{decibels(result['psnr'])} on held-out views"
            )
        case "fix-it":
            return proposed_in_words(result)
        case "view":
            width, height = result["size"]
            return f"{result['output']}: {width} x {height} pixels in {result['seconds']:.2f} s"
        case "export":
            return exported_in_words(result)
        case "check":
            return checked_in_words(result)
        case "bench":
            from .rendering.bench import bench_in_words

            return bench_in_words(result)
        case "verify":
            return f"{result['dataset']}: {result['views']} views rendered again, bit for bit the same"
        case "config":
            return str(result["configuration"]).rstrip()
        case "runtime":
            return runtime_in_words(result)
        case "doctor":
            return doctor_in_words(result)
        case "sheet":
            return "\n".join([*result["remarks"], result["page"]])
        case _:
            return "\n".join(lines_of(result))


def imported_in_words(result: dict[str, Any]) -> str:
    """How many views of an imported dataset are there for what, and how many problems were named."""
    views = ", ".join(f"{count} {name}" for name, count in result["views"].items())
    count = len(result["problems"])
    problems = f"; {count} {'problem' if count == 1 else 'problems'}, named above" if count else ""
    return f"{result['output']}: {views} views from {result['format']}, film {result['film']}{problems}"


def proposed_in_words(result: dict[str, Any]) -> str:
    """Each proposed camera with its reason."""
    if not result["cameras"]:
        return "Nothing to fix: no new camera would see what the held-out views show to be wrong"
    lines = [f"{number}. {camera['reason']}" for number, camera in enumerate(result["cameras"], 1)]
    return "\n".join([*lines, *([result["output"]] if result["output"] else [])])


def checked_in_words(result: dict[str, Any]) -> str:
    """What was found in a scene, and what rendering it will cost."""
    lines = [f"- {one['what']}" + (f"; {one['remedy']}" if one["remedy"] else "") for one in result["findings"]]
    cost = f"{result['views']} views: about {format_seconds(result['seconds'])} and {format_bytes(result['bytes'])}"
    lines = [*(lines or ["Nothing to mend."]), shares_in_words(result["coverage"])]
    return "\n".join([*lines, f"{cost}, with {format_bytes(result['staging_bytes'])} beside it meanwhile"])


def runtime_in_words(result: dict[str, Any]) -> str:
    """The managed runtime as it is now."""
    if not result["installed"]:
        return f"No runtime is installed in {result['folder']}"
    accelerator = f"CUDA {result['cuda']}" if result["cuda"] else "CPU"
    stale = "; of another version of Radiance Twin, update it" if result["stale"] else ""
    size = format_bytes(result["bytes"])
    return (
        f"PyTorch {result['torch']} for {accelerator} in Python {result['python']}, {size}{stale}\n{result['folder']}"
    )


def exported_in_words(result: dict[str, Any]) -> str:
    """What an export holds, and what it loses against the field."""
    kinds = ("views", "voxels", "vertices", "faces", "points", "splats")
    counts = [f"{result[name]:,} {name}" for name in kinds if result.get(name)]
    size, seconds = format_bytes(result["bytes"]), format_seconds(result["seconds"])
    made = f"{result['output']}: {', '.join(counts)}, {size} in {seconds}"
    if "worst_error" in result:
        worst = result["worst_error"]
        if worst is None:  # of a format without cameras
            return made if result["format"] == "points" else f"{made}\nRead back: all labels are the dataset's"
        return f"{made}\nRead back: points are at most {worst:.2g} pixels off"
    loss = result["loss"]
    if loss is None or loss["loss_db"] is None:
        return f"{made}; loss not measured"
    return (
        f"{made}\nPSNR {decibels(loss['export_psnr'])}, the field's {decibels(loss['field_psnr'])}: "
        f"{loss['loss_db']:.2f} dB lost over {loss['views']} held-out views"
    )


def lines_of(result: dict[str, Any]) -> list[str]:
    """What `info` tells, a line each; what belongs together is indented below its name."""
    lines = []
    for name, value in result.items():
        title = name if "/" in name else name.replace("_", " ")  # an array keeps its name
        if isinstance(value, dict) and value:
            lines += [f"{title}:", *(f"  {line}" for line in lines_of(value))]
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            lines += [f"{title}:", *(f"  {', '.join(lines_of(one))}" for one in value)]
        else:
            lines.append(f"{title}: {_value_in_words(name, value)}")
    return lines


def _value_in_words(name: str, value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    # a twin of anybody may have any of these words for anything
    measured = isinstance(value, int | float) and 0 <= value < 1e18
    if name in ("bytes", "scene_bytes") and measured:
        return format_bytes(value)
    if name == "seconds" and measured:
        return format_seconds(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(
            " ".join(_value_in_words("", part) for part in one) if isinstance(one, list) else _value_in_words("", one)
            for one in value
        )
    return str(value)


def metrics_in_words(metrics: dict[str, Any]) -> str:
    """One line of figures: the mean over the held-out views."""
    mean = metrics["mean"]
    protocol = metrics.get("protocol", "radiance-twin")
    measured = "" if protocol == "radiance-twin" else f", measured as {protocol} does"
    return (
        f"PSNR {decibels(mean['psnr'])} (foreground {decibels(mean['psnr_foreground'])}), "
        f"SSIM {ssim_in_words(mean['ssim'])}, FLIP {mean['flip']:.3f}, "
        f"over {len(metrics['views'])} held-out views{measured}"
    )


def decibels(value: float | None) -> str:
    """PSNR as people read it; None is a perfect match, or nothing to measure."""
    return "–" if value is None else f"{value:.2f} dB"
