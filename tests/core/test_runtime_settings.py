# SPDX-License-Identifier: GPL-3.0-or-later
"""What installers are told: this machine's package settings, and nothing of anybody's environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from radiance_twin.core.reporting import QuietReporter
from radiance_twin.core.runtime import accelerator, lock, tools
from radiance_twin.core.runtime.accelerator import Build, choose_build
from radiance_twin.core.runtime.install import GB, InstallSettings, plan
from radiance_twin.core.runtime.pip_settings import (
    for_pip,
    for_uv,
    read_pip_settings,
    wheel_folders,
    without_addresses,
)
from radiance_twin.core.runtime.places import home
from radiance_twin.core.runtime.progress import Progress
from radiance_twin.core.runtime.steps import run_step, why
from radiance_twin.core.runtime.tools import installer_environment

from .runtime_wheels import folder_of_uv

CONFIGURATION = """
[global]
index-url = https://user:secret@packages.example/simple
extra_index_url =
    https://one.example/simple
    https://two.example/simple
timeout = 60
cert = /somewhere/company.pem

[install]
timeout = 90
find-links = /wheels/a /wheels/b
target = /somebody/elses/folder
user = true
"""
SETTINGS = {
    "index-url": "https://user:secret@packages.example/simple",
    "extra-index-url": "https://one.example/simple\nhttps://two.example/simple",
    "timeout": "90",  # what is said of install alone wins
    "cert": "/somewhere/company.pem",
    "find-links": "/wheels/a /wheels/b",
}


@pytest.fixture
def configuration(tmp_path: Path) -> dict[str, str]:
    """An environment whose pip.conf is the one above, and no other."""
    file = tmp_path / "pip.conf"
    file.write_text(CONFIGURATION, "utf-8")
    return {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path), "PIP_CONFIG_FILE": str(file)}


def test_of_pips_configuration_only_where_packages_come_from_is_read(configuration: dict[str, str]) -> None:
    read = read_pip_settings(configuration)
    assert {name: read[name] for name in SETTINGS} == SETTINGS
    assert not {"target", "user"} & set(read)
    assert read_pip_settings({**configuration, "PIP_TIMEOUT": "5"})["timeout"] == "5", "a variable wins over the file"
    assert read_pip_settings({**configuration, "PIP_CONFIG_FILE": os.devnull}) == {}


def test_what_an_installer_says_is_told_without_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    words = ["echo", "Looking in https://user:secret@packages.example/simple for torch"]
    run_step(words, os.environ, QuietReporter(), told.append)
    assert [line for line in told if line] == ["Looking in (address) for torch"]
    assert "Looking in (address) for torch" in capsys.readouterr().err


def test_pip_itself_reads_the_same(configuration: dict[str, str], tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], **configuration}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    told = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    read = read_pip_settings(configuration)
    for name in SETTINGS:
        assert told[name].replace("\\n", "\n").strip() == read[name].strip()


def test_uv_is_told_in_its_own_words() -> None:
    told = for_uv({**SETTINGS, "proxy": "http://proxy.example", "trusted-host": "a.example"})
    assert told == {
        "UV_DEFAULT_INDEX": "https://user:secret@packages.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels/a,/wheels/b",
        "UV_INSECURE_HOST": "a.example",
        "SSL_CERT_FILE": "/somewhere/company.pem",
        "ALL_PROXY": "http://proxy.example",
        "UV_HTTP_TIMEOUT": "90",
    }


def test_pip_is_told_these_settings_and_no_others() -> None:
    told = for_pip(SETTINGS)
    assert told["PIP_CONFIG_FILE"] == os.devnull
    assert told["PIP_EXTRA_INDEX_URL"] == "https://one.example/simple https://two.example/simple"


def test_folders_of_wheels_are_those_that_are_there(tmp_path: Path) -> None:
    assert (
        wheel_folders({"find-links": f"{tmp_path} https://links.example file://{tmp_path} /nowhere"}) == [tmp_path] * 2
    )


OTHERS = (
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PIP_TARGET", "PIP_USER"),
    *("PIP_REQUIRE_VIRTUALENV", "UV_TARGET", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_CONFIG_FILE"),
)


def test_what_uv_needs_to_open_an_index_of_this_machine_reaches_it() -> None:
    told = {"UV_INDEX_STUDIO_USERNAME": "me", "UV_INDEX_STUDIO_PASSWORD": "secret", "UV_ASTRAL_MIRROR_URL": "mirror"}
    assert told.items() <= installer_environment(told, {}).items()


@pytest.mark.parametrize("name", OTHERS)
def test_nobodys_environment_reaches_an_installer(name: str) -> None:
    environment = installer_environment({name: "theirs", "PATH": "/bin", "UV_INDEX": "ours"}, {})
    assert name not in environment
    assert environment["PATH"] == "/bin" and environment["UV_INDEX"] == "ours"
    assert environment["PYTHONNOUSERSITE"] == "1"


def test_addresses_stay_out_of_what_is_said() -> None:
    line = "error: Failed to fetch: `https://user:secret@packages.example/simple/torch/` from file:///srv/x"
    assert without_addresses(line) == "error: Failed to fetch: `(address) from (address)"


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("error: failed to copy file: No space left on device (os error 28)", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the file that"),
        ("hint: An index URL could not be queried due to a lack of valid authentication credentials", "a password"),
        ("  cause: invalid peer certificate: UnknownIssuer", "certificate is not trusted"),
        ("  cause: HTTP status client error (403 Forbidden) for url ((address))", "a password"),
        ("WARNING: 401 Error, Credentials not correct for (address)", "a password"),
        ("  cause: dns error", "cannot be reached"),
        ("  x No solution found when resolving dependencies", "a package is missing"),
        ("error: something new", "the installer failed: error: something new; see the log"),
    ],
)
def test_failures_are_said_in_one_line_with_the_remedy(said: str, meaning: str) -> None:
    assert meaning in why(["Resolved 30 packages", "Downloading torch (401.2MiB)", said])


def test_progress_names_what_is_being_fetched_and_how_much_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANCE_TWIN_HOME", str(tmp_path / "home"))
    told: list[tuple[float, str]] = []

    class Listener(QuietReporter):
        def progress(self, stage: str, done: float, total: float, *, text: str = "", **figures: object) -> None:
            told.append((done / total, text))

    cache = home() / "uv-cache"
    cache.mkdir(parents=True)
    (cache / "from an earlier attempt").write_bytes(bytes(100))
    progress = Progress(Listener(), 1000.0, cache)
    for line in ("Downloading torch (502.2MiB)", "Downloading numpy (16.1MiB)", "Downloading scipy (33MiB)", ""):
        progress(line)
    (cache / "torch").write_bytes(bytes(400))
    os.link(cache / "torch", cache / "torch again")
    for line in (" Downloaded torch", "", "Prepared 3 packages in 5s", ""):
        progress(line)
    assert told == [
        (0.1, ""),
        (0.1, "torch (502 MB), numpy (16 MB) and 1 more"),
        (0.5, "numpy (16 MB), scipy (33 MB)"),
        (0.5, "unpacking"),
    ]


LINUX_CPU = Build("cpu", False, "cpu")
CUDA_OF_THE_LOCK = Build("cuda", hashed=True)


@pytest.mark.parametrize(
    ("platform", "wanted", "driver", "build"),
    [
        ("linux", "auto", None, LINUX_CPU),
        ("linux", "auto", (13, 0), CUDA_OF_THE_LOCK),
        ("linux", "auto", (12, 6), Build("cuda", False, "auto")),
        ("linux", "cpu", (13, 0), LINUX_CPU),
        ("linux", "cuda", None, CUDA_OF_THE_LOCK),
        ("win32", "auto", None, Build("cpu", hashed=True)),
        ("win32", "auto", (13, 0), Build("cuda", False, "auto")),
        ("darwin", "auto", None, Build("cpu", hashed=True)),
    ],
)
def test_which_build_of_pytorch_a_machine_gets(
    platform: str, wanted: str, driver: tuple[int, int] | None, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(accelerator, "cuda_of_driver", lambda: driver)
    assert choose_build(wanted, []) == build


def test_pip_takes_what_the_index_has_and_the_plan_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(accelerator, "cuda_of_driver", lambda: None)
    monkeypatch.setattr(tools, "WHEELS", tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    monkeypatch.setenv("PATH", folder_of_uv())
    assert plan(InstallSettings("cpu")).build == LINUX_CPU
    monkeypatch.setenv("PATH", "/nowhere")
    by_pip = plan(InstallSettings("cpu"))
    assert by_pip.build == CUDA_OF_THE_LOCK and by_pip.download > 2 * GB
    assert choose_build("cuda", [], by_uv=False) == CUDA_OF_THE_LOCK
    monkeypatch.setattr(sys, "platform", "win32")
    assert choose_build("cuda", [], by_uv=False) == Build("cpu", hashed=True)


def test_a_folder_of_wheels_that_has_pytorch_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "cuda_of_driver", lambda: (13, 0))
    (tmp_path / f"torch-{lock.version_of('torch')}+cpu-cp311-cp311-linux_x86_64.whl").touch()
    assert choose_build("auto", [tmp_path]) == Build("cpu", hashed=False)


def test_the_lock_has_all_that_the_package_needs_with_hashes_and_without_addresses(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.match(r"[\w-]+", one).group().lower() for one in project["dependencies"]} - {"bpy"}
    text = lock.packages().read_text("utf-8") + lock.torch().read_text("utf-8")
    locked = set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))
    assert needed <= locked, "run tools/lock.sh"
    for entry in re.findall(r"^[\w.-]+==.*(?:\n    .*)*", text, re.MULTILINE):
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
