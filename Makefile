# SPDX-License-Identifier: GPL-3.0-or-later
#
#   make demo       a scene rendered by Cycles and its neural twin, compared; ten minutes on two cores, no GPU needed
#   make test       the tests with Blender 4.5 as a Python module
#   make test-5.2   the tests of Blender's side, and of its shaders, with Blender 5.2 as a Python module
#   make test-gui   the tests in a real Blender with its window: BLENDER=path/to/blender make test-gui
#   make reliability  kills, full disks and 10,000 spoilt files for each reader: half an hour, tests/reliability/RESULTS.md
#   make lint       ruff and mypy
#   make zip        the extension, to be installed from disk in Blender's preferences
#   make lock       the versions that the training runtime is made of, brought up to date
#
# Each does all its own set-up (see tools/set_up.sh); doing it again costs nothing.

SHELL := bash
VENV ?= .venv
VENV_52 ?= .venv-5.2
PYTEST_ARGUMENTS ?=

# where Blender's own builder of extensions lies in the package bpy
BUILDER = $(VENV)/lib/python3.*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py
# what runs inside Blender of core/, tested with that Blender's numpy too
NUMPY_ALONE = $(addprefix tests/core/test_,cameras.py colour.py ocio.py rigs.py twin_file.py)
# a file's tests stay together: they share what took long to make
TWO_AT_ONCE = -n 2 --dist loadfile
WORKER = RADIANCE_TWIN_PYTHON=$(abspath $(VENV))/bin/python

.PHONY: demo test test-5.2 test-gui reliability lint zip lock install install-dev

demo: install
	$(VENV)/bin/radiance-twin demo

test: install-dev
	$(VENV)/bin/python -m pytest $(TWO_AT_ONCE) tests/core tests/addon tests/house tests/reliability $(PYTEST_ARGUMENTS)

test-5.2: install-dev
	@tools/set_up.sh $(VENV_52) 3.13 'bpy==5.2.*' hypothesis pytest pytest-timeout pytest-xdist
	$(WORKER) $(VENV_52)/bin/python -m pytest $(TWO_AT_ONCE) $(NUMPY_ALONE) tests/addon tests/gpu $(PYTEST_ARGUMENTS)

test-gui: install-dev
	$(WORKER) $(VENV)/bin/python -m pytest tests/gui $(PYTEST_ARGUMENTS)

reliability: install-dev
	$(VENV)/bin/python tests/reliability

# mypy takes a package's name from its folder, and a clone may be called anything
lint: install-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	@mkdir -p $(VENV)/typed && ln -sfn $(CURDIR) $(VENV)/typed/radiance_twin
	cd $(VENV)/typed && MYPYPATH=. $(abspath $(VENV))/bin/mypy --config-file $(CURDIR)/pyproject.toml -p radiance_twin.core -p radiance_twin.addon

# uv installs the training runtime; for another platform than this one: make zip PLATFORM=win_amd64 (or macosx_11_0_arm64)
zip: install
	rm -rf wheels
	$(VENV)/bin/python -m pip download --quiet --require-hashes --only-binary :all: --no-deps \
	  $(if $(PLATFORM),--platform $(PLATFORM)) --dest wheels --requirement tools/uv.txt
	$(VENV)/bin/python $(BUILDER) build --source-dir . --output-dir .
	rm -rf wheels

lock: install
	tools/lock.sh $(VENV)

install:
	@tools/set_up.sh $(VENV) "3.11 3.13" -e .

install-dev:
	@tools/set_up.sh $(VENV) "3.11 3.13" -e '.[dev]'
