# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts any module of this tree, whatever the tree's folder is called and wherever it lies.

    python core/bootstrap.py core.worker
    blender -b --python core/bootstrap.py -- addon.studio

A clone, an installed extension and site-packages all work alike: the tree is registered as the package
`radiance_twin`, then the module asked for runs as `__main__`. Standard library alone; imports nothing of ours.
"""

import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = "radiance_twin"


def register(root: Path) -> ModuleType:
    """Import the tree at `root` as the package `radiance_twin`, once."""
    if PACKAGE in sys.modules:
        return sys.modules[PACKAGE]
    spec = importlib.util.spec_from_file_location(PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} does not hold Radiance Twin")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run the module named by the first argument (after `--` when Blender started us) with the rest."""
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    if not arguments:
        sys.exit("usage: bootstrap.py MODULE [ARGUMENTS], for example core.worker")
    module, *rest = arguments
    here = Path(__file__).resolve()
    # Python put our folder first on the path: modules named like the standard library's must not shadow it
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != here.parent]
    register(here.parent.parent)
    sys.argv = [module, *rest]
    runpy.run_module(f"{PACKAGE}.{module}", run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
