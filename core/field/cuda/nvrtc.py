# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's run-time compiler: CUDA C++ in, machine code for one GPU out. It needs neither a GPU nor a driver.

CUDA builds of PyTorch bring the library: on Linux as a wheel of its own, on Windows beside PyTorch's.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from .failure import KernelsUnavailable

# functions of the library, with their arguments; all return a status except nvrtcGetErrorString
_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
_TEXTS = ctypes.POINTER(ctypes.c_char_p)
_SIGNATURES = {
    "nvrtcVersion": [ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)],
    "nvrtcGetNumSupportedArchs": [ctypes.POINTER(ctypes.c_int)],
    "nvrtcGetSupportedArchs": [ctypes.POINTER(ctypes.c_int)],
    "nvrtcCreateProgram": [ctypes.POINTER(_POINTER), _TEXT, _TEXT, ctypes.c_int, _TEXTS, _TEXTS],
    "nvrtcDestroyProgram": [ctypes.POINTER(_POINTER)],
    "nvrtcCompileProgram": [_POINTER, ctypes.c_int, _TEXTS],
    "nvrtcGetProgramLogSize": [_POINTER, ctypes.POINTER(ctypes.c_size_t)],
    "nvrtcGetProgramLog": [_POINTER, _POINTER],
    "nvrtcGetCUBINSize": [_POINTER, ctypes.POINTER(ctypes.c_size_t)],
    "nvrtcGetCUBIN": [_POINTER, _POINTER],
    "nvrtcGetPTXSize": [_POINTER, ctypes.POINTER(ctypes.c_size_t)],
    "nvrtcGetPTX": [_POINTER, _POINTER],
}


class Nvrtc:
    """The compiler in the library at `path`.

    Attributes:
        version: major and minor.
        architectures: compute capabilities that it can compile for, ascending, as 10·major + minor.
    """

    def __init__(self, path: str) -> None:
        """Raises: KernelsUnavailable: the file is not such a library, or parts of it are missing."""
        self.path = path
        try:
            _load_builtins(path)
            self._library = ctypes.CDLL(path)
            self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
            self._library.nvrtcGetErrorString.argtypes = [ctypes.c_int]
            for name, arguments in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = arguments, ctypes.c_int
        except (OSError, AttributeError) as error:
            raise KernelsUnavailable(f"NVRTC cannot be loaded: {error}") from error
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", major, minor)
        self.version = (major.value, minor.value)
        self._call("nvrtcGetNumSupportedArchs", count)
        known = (ctypes.c_int * count.value)()
        self._check("nvrtcGetSupportedArchs", self._library.nvrtcGetSupportedArchs(known))
        self.architectures = sorted(known)

    def target(self, capability: int) -> str:
        """The architecture to compile for on a GPU of compute `capability` (90 for 9.0).

        `sm_` and its number where the compiler makes machine code that the GPU runs; for GPUs newer than the compiler
        `compute_` and the newest number it knows: intermediate code that the driver finishes.

        Raises:
            KernelsUnavailable: the GPU is too old for this compiler.
        """
        older = [known for known in self.architectures if known <= capability]
        if not older:
            raise KernelsUnavailable(
                f"NVRTC {self.version[0]}.{self.version[1]} does not know GPUs of compute capability "
                f"{capability // 10}.{capability % 10}"
            )
        newest = older[-1]
        # machine code runs on all later GPUs of the same major number
        return f"sm_{newest}" if newest // 10 == capability // 10 else f"compute_{newest}"

    def compile(self, source: str, name: str, target: str, options: Sequence[str] = ()) -> bytes:
        """A cubin for a target `sm_…`, PTX (ending in a zero byte) for a target `compute_…`.

        Args:
            name: of the source, in error messages.

        Raises:
            KernelsUnavailable: with the first error of the compiler's log; all of it is the exception's `details`.
        """
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", program, source.encode(), name.encode(), 0, None, None)
        try:
            words = [f"--gpu-architecture={target}".encode(), *(option.encode() for option in options)]
            status = self._library.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words))
            if status:
                log = self._text(program, "nvrtcGetProgramLog").decode(errors="replace").rstrip("\0\n")
                first = next((line for line in log.splitlines() if "error" in line), self._reason(status))
                raise KernelsUnavailable(f"the CUDA kernels do not compile for {target}: {first.strip()}", log)
            return self._text(program, "nvrtcGetCUBIN" if target.startswith("sm_") else "nvrtcGetPTX")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, function: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(function, getattr(self._library, f"{function}Size")(program, ctypes.byref(size)))
        held = ctypes.create_string_buffer(size.value)
        self._check(function, getattr(self._library, function)(program, held))
        return held.raw

    def _call(self, function: str, *arguments: object) -> None:
        """Call a function whose ctypes arguments are results."""
        passed = [ctypes.byref(one) if isinstance(one, (ctypes.c_int, ctypes.c_void_p)) else one for one in arguments]
        self._check(function, getattr(self._library, function)(*passed))

    def _check(self, function: str, status: int) -> None:
        if status:
            raise KernelsUnavailable(f"NVRTC failed in {function}: {self._reason(status)}")

    def _reason(self, status: int) -> str:
        words = self._library.nvrtcGetErrorString(status)
        return words.decode() if words else f"error {status}"


def find_nvrtc() -> Nvrtc:
    """The compiler that belongs to this PyTorch; another version when that is the only one.

    Raises:
        KernelsUnavailable: there is none, or none that can be loaded.
    """
    reasons = []
    for path in candidates():
        try:
            return Nvrtc(path)
        except KernelsUnavailable as error:
            reasons.append(str(error))
    raise KernelsUnavailable(reasons[0] if reasons else "NVRTC was not found (pip install nvidia-cuda-nvrtc brings it)")


def candidates() -> list[str]:
    """Paths of all NVRTC libraries at hand, the best first: PyTorch's own major version, then the newest.

    Machine code of a newer major version may ask more of the driver than PyTorch does.
    """
    own = int(torch.version.cuda.split(".")[0]) if torch.version.cuda else 0

    def rank(path: str) -> tuple[bool, int]:
        major = _major(Path(path).name)
        return major != own, -major

    found = [str(path) for folder in _folders() for path in sorted(folder.glob(_pattern())) if _major(path.name)]
    return sorted(dict.fromkeys(found), key=rank) + _by_name(own)


def _folders() -> Iterator[Path]:
    """Where the library may lie: beside PyTorch's own, in NVIDIA's wheels, in a CUDA toolkit."""
    yield Path(torch.__file__).parent / "lib"
    try:
        wheels = importlib.util.find_spec("nvidia")
    except ValueError:
        wheels = None
    for place in (wheels.submodule_search_locations or []) if wheels else []:
        # nvidia/cuda_nvrtc of CUDA 12, nvidia/cu13 of CUDA 13
        for package in sorted(Path(place).glob("*")):
            yield from (package / "lib", package / "bin", package / "bin" / "x86_64")
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if toolkit := os.environ.get(variable):
            yield from (Path(toolkit, *parts) for parts in (("lib64",), ("lib",), ("bin",), ("bin", "x64")))


def _pattern() -> str:
    return "nvrtc64_*_0.dll" if sys.platform == "win32" else "libnvrtc[.-]*so*"


def _major(name: str) -> int:
    """CUDA's major version in the name of a library (libnvrtc.so.13, libnvrtc-3a20f2b6.so.12, nvrtc64_130_0.dll)."""
    found = re.fullmatch(r"libnvrtc(?:-[0-9a-f]+)?\.so\.(\d+)[.\d]*|nvrtc64_(\d+)\d_0\.dll", name)
    return int(found[1] or found[2]) if found else 0


def _by_name(own: int) -> list[str]:
    """Names that the system's own search may know."""
    majors = dict.fromkeys([own, 13, 12] if own else [13, 12])
    return [f"nvrtc64_{one}0_0.dll" if sys.platform == "win32" else f"libnvrtc.so.{one}" for one in majors]


def _load_builtins(path: str) -> None:
    """The compiler opens its second library by name alone, and CUDA 13.0's wheel does not say where it lies: it must
    be loaded already."""
    folder = Path(path).parent
    if folder == Path():
        return
    if sys.platform == "win32":
        os.add_dll_directory(str(folder.resolve()))
        names = f"nvrtc-builtins64_{Path(path).name.split('_')[1][:-1]}*.dll"
    else:
        names = f"libnvrtc-builtins.so.{_major(Path(path).name)}.*"
    for builtins in sorted(folder.glob(names)):
        ctypes.CDLL(str(builtins))
