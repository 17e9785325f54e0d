#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   tools/lock.sh FOLDER_OF_A_VIRTUAL_ENVIRONMENT
#
# Locks what the managed runtime installs: newest versions that pyproject.toml allows, with the SHA-256 of every file, for all
# platforms and for Python 3.11 and newer. Asks whatever package index pip is set to; no address gets into the files.
#
#   core/runtime/packages.txt   everything but PyTorch: the same for all accelerators
#   core/runtime/torch.txt      PyTorch as the Python package index has it: CUDA on Linux, Metal on macOS, CPU on Windows
#   tools/uv.txt                the installer that `make zip` puts into the extension
#
# PyTorch's other builds (CPU on Linux, CUDA on Windows, older CUDA) come from an index of PyTorch's own that has other files
# under the same version: of those the version is locked, and what they need besides by PyTorch itself, but no hash.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1/bin/python
"$python" -m pip install --quiet --disable-pip-version-check uv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" - >"$work/wanted" <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    for requirement in tomllib.load(file)["project"]["dependencies"]:
        if not requirement.startswith("bpy"):  # rendering is Blender's
            print(requirement)
PYTHON
echo uv >"$work/installer"

compile() {
  "$python" core/bootstrap.py core.runtime.pip_settings "$python" -m uv pip compile --quiet --no-config --universal \
    --python-version 3.11 --python "$python" --generate-hashes --no-header --no-annotate "$@"
}

compile "$work/wanted" -o "$work/all"
compile "$work/installer" -o "$work/uv"

"$python" - "$work" <<'PYTHON'
import re
import sys
from pathlib import Path

OF_TORCH = re.compile(r"(torch|triton|nvidia-|cuda-)")
work, out = Path(sys.argv[1]), Path("core/runtime")
head = "# SPDX-License-Identifier: GPL-3.0-or-later\n# Made by tools/lock.sh: do not edit.\n"
# a requirement and its hashes are lines that end in a backslash, but for the last
entries = re.findall(r"^[a-z].*?[^\\]\n", (work / "all").read_text() , re.DOTALL | re.MULTILINE)
for name, wanted in (("packages.txt", False), ("torch.txt", True)):
    chosen = [one for one in entries if bool(OF_TORCH.match(one)) == wanted]
    (out / name).write_text(head + "".join(chosen), encoding="utf-8")
Path("tools/uv.txt").write_text(head + (work / "uv").read_text(), encoding="utf-8")
PYTHON
wc -l core/runtime/*.txt tools/uv.txt >&2
