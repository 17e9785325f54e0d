# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this machine's packages come from, as pip is told, and the same told to uv, which does not read that.

    python core/bootstrap.py core.runtime.pip_settings COMMAND...      runs COMMAND with uv's variables set

Addresses go from the environment and pip's files into the environment of the one process that needs them: never into
a command line, a log or a file of ours, as they may hold passwords.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# pip's settings that say where packages come from; all else that may be set (a target folder, a user site) is not ours
NAMES = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host"),
    *("cert", "client-cert", "proxy", "timeout", "default-timeout"),
)
URL = re.compile(r"\b[a-z][a-z+.]*://\S+", re.IGNORECASE)


def read_pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """pip's settings of where packages come from: its files, the later of which win, then its variables."""
    settings: dict[str, str] = {}
    for path in _files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue  # pip itself will complain
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update({name.replace("_", "-"): value.strip() for name, value in parser.items(section)})
    for name in NAMES:
        value = environment.get(f"PIP_{name.upper().replace('-', '_')}")
        if value is not None:
            settings[name] = value
    return {name: value for name, value in settings.items() if name in NAMES and value}


def for_pip(settings: Mapping[str, str]) -> dict[str, str]:
    """The variables that tell pip these settings and no others, whatever its files say."""
    told = {f"PIP_{name.upper().replace('-', '_')}": " ".join(value.split()) for name, value in settings.items()}
    return {**told, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def for_uv(settings: Mapping[str, str]) -> dict[str, str]:
    """The variables that tell uv what these settings tell pip, but for `no_index`, for which it has none."""
    told = {}
    if "index-url" in settings:
        told["UV_DEFAULT_INDEX"] = settings["index-url"]
    if "extra-index-url" in settings:
        told["UV_INDEX"] = " ".join(settings["extra-index-url"].split())
        # pip takes the best of all indexes, uv the first that has the name at all
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "find-links" in settings:
        told["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if "trusted-host" in settings:
        told["UV_INSECURE_HOST"] = " ".join(settings["trusted-host"].split())
    if "cert" in settings:
        told["SSL_CERT_FILE"] = settings["cert"]
    if "client-cert" in settings:
        told["SSL_CLIENT_CERT"] = settings["client-cert"]
    if "proxy" in settings:
        told["ALL_PROXY"] = settings["proxy"]
    timeout = settings.get("timeout", settings.get("default-timeout"))
    if timeout is not None:
        told["UV_HTTP_TIMEOUT"] = timeout
    return told


def no_index(settings: Mapping[str, str]) -> bool:
    """Whether folders of wheels are all that packages may be taken from."""
    return settings.get("no-index", "").lower() in ("1", "true", "yes", "on")


def wheel_folders(settings: Mapping[str, str]) -> list[Path]:
    """The folders on this machine that are looked through for wheels."""
    names = [name.removeprefix("file://") for name in settings.get("find-links", "").split()]
    return [Path(name) for name in names if Path(name).is_dir()]


def without_addresses(text: str) -> str:
    """A line as it may stand in a log."""
    return URL.sub("(address)", text)


def _files(environment: Mapping[str, str]) -> list[Path]:
    """Where pip looks for its configuration, least important first (pip's user guide, "Location")."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path.home())
    if sys.platform == "win32":
        places = [
            Path(environment.get("PROGRAMDATA", "C:/ProgramData")) / "pip/pip.ini",
            home / "pip/pip.ini",
            Path(environment.get("APPDATA", home / "AppData/Roaming")) / "pip/pip.ini",
        ]
    else:
        support = "Library/Application Support/pip/pip.conf"
        shared = environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
        mac = sys.platform == "darwin"
        places = [
            *([Path("/") / support] if mac else [Path(folder) / "pip/pip.conf" for folder in reversed(shared)]),
            Path("/etc/pip.conf"),
            home / ".pip/pip.conf",
            Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf",
            *([home / support] if mac else []),
        ]
    return [*places, *([Path(named)] if named else [])]


if __name__ == "__main__":
    told = for_uv(read_pip_settings(os.environ))
    sys.exit(subprocess.run(sys.argv[1:], env={**told, **os.environ}, check=False).returncode)
