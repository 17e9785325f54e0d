# SPDX-License-Identifier: GPL-3.0-or-later
"""The run-time compiler (the real one, which needs no GPU), the cache of what it made, and the calls to the driver.

Without a GPU the driver is `fake_cuda_driver.cpp`, built here; with one the same assertions hold for the real one.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from radiance_twin.core.errors import UserError
from radiance_twin.core.field.cuda import nvrtc as nvrtc_module
from radiance_twin.core.field.cuda.cache import MOST_FILES, compile_cached
from radiance_twin.core.field.cuda.driver import Driver
from radiance_twin.core.field.cuda.failure import KernelsUnavailable
from radiance_twin.core.field.cuda.launch import Argument, Kernels
from radiance_twin.core.field.cuda.nvrtc import Nvrtc, candidates, find_nvrtc
from radiance_twin.core.field.cuda.program import Kernel
from radiance_twin.core.field.cuda.signatures import Parameter

SCALE = """
extern "C" __global__ void scale(float* out, const float* in, float factor, unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = factor * in[i];
}
"""


@pytest.fixture(scope="module")
def nvrtc() -> Nvrtc:
    return find_nvrtc()


def test_every_gpu_since_turing_gets_machine_code_of_its_own(nvrtc: Nvrtc) -> None:
    for capability in (75, 80, 86, 89, 90, 100, 120):
        target = nvrtc.target(capability)
        assert target == f"sm_{capability}"
        image = nvrtc.compile(SCALE, "scale.cu", target)
        assert image.startswith(b"\x7fELF")
        assert b"scale" in image


def test_a_gpu_that_the_compiler_does_not_know_gets_code_that_runs_on_it(nvrtc: Nvrtc) -> None:
    newest = nvrtc.architectures[-1]
    assert nvrtc.target(newest + 100) == f"compute_{newest}"
    image = nvrtc.compile(SCALE, "scale.cu", f"compute_{newest}")
    assert f".target sm_{newest}" in image.decode().rstrip("\0")
    assert image.endswith(b"\0")  # the driver takes PTX as a C string
    # within a major number machine code runs on later GPUs
    nvrtc_of_ada = SimpleNamespace(architectures=[80, 86, 89, 90], version=(12, 0))
    assert Nvrtc.target(nvrtc_of_ada, 87) == "sm_86"
    assert Nvrtc.target(nvrtc_of_ada, 100) == "compute_90"
    with pytest.raises(KernelsUnavailable, match=r"compute capability 3\.5"):
        nvrtc.target(35)


def test_an_error_in_the_source_is_said_in_one_line(nvrtc: Nvrtc) -> None:
    with pytest.raises(KernelsUnavailable, match=r"scale\.cu\(3\).*undefined") as caught:
        nvrtc.compile(SCALE.replace("blockIdx", "blockNumber"), "scale.cu", "sm_90")
    assert "\n" not in str(caught.value)
    assert "blockNumber" in caught.value.details
    with pytest.raises(KernelsUnavailable, match="sm_1"):
        nvrtc.compile(SCALE, "scale.cu", "sm_1")


def test_options_reach_the_compiler(nvrtc: Nvrtc) -> None:
    source = SCALE.replace("factor *", "FACTOR *")
    assert nvrtc.compile(source, "scale.cu", "sm_90", ["-DFACTOR=2.0f"])
    with pytest.raises(KernelsUnavailable, match="FACTOR"):
        nvrtc.compile(source, "scale.cu", "sm_90")


@pytest.mark.parametrize(
    ("platform", "cuda", "files", "best"),
    [
        ("linux", "12.8", ["nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"], 1),
        ("linux", "13.0", ["nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"], 0),
        ("linux", None, ["nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "nvidia/cu13/lib/libnvrtc.so.13"], 1),
        ("linux", "12.8", ["nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.8", "torch/lib/libnvrtc-1ab2.so.12"], 1),
        ("linux", "12.8", ["nvidia/cuda_nvrtc/lib/libnvrtc.alt.so.12", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"], 1),
        ("win32", "12.8", ["torch/lib/nvrtc-builtins64_128.dll", "torch/lib/nvrtc64_120_0.dll"], 1),
        ("win32", "12.8", ["torch/lib/nvrtc64_120_0.alt.dll", "torch/lib/nvrtc64_120_0.dll"], 1),
        ("win32", "13.0", ["nvidia/cuda_nvrtc/bin/nvrtc64_120_0.dll", "nvidia/cu13/bin/x86_64/nvrtc64_130_0.dll"], 1),
    ],
)
def test_the_compiler_is_found_where_each_build_of_pytorch_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, cuda: str | None, files: list[str], best: int
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.setattr(nvrtc_module, "sys", SimpleNamespace(platform=platform))
    packages = SimpleNamespace(submodule_search_locations=[str(tmp_path / "nvidia")])
    monkeypatch.setattr(nvrtc_module.importlib.util, "find_spec", lambda name: packages)
    torch_there = SimpleNamespace(__file__=str(tmp_path / "torch" / "__init__.py"), version=SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(nvrtc_module, "torch", torch_there)
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(variable, raising=False)
    assert candidates()[0] == str(tmp_path / files[best])


# in a process of its own: a library that is loaded already is found by everybody
COMPILES = """
import pathlib, runpy, sys
runpy.run_path(sys.argv[1])["register"](pathlib.Path(sys.argv[2]))
from radiance_twin.core.field.cuda.nvrtc import Nvrtc
assert Nvrtc(sys.argv[3]).compile("__global__ void nothing() {}", "nothing.cu", "sm_90")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what ELF files say")
def test_a_compiler_that_does_not_say_where_its_second_library_lies_compiles(nvrtc: Nvrtc, tmp_path: Path) -> None:
    """As the wheel of CUDA 13.0, which PyTorch's builds for CUDA 13 bring."""
    library = Path(nvrtc.path)
    for builtins in library.parent.glob("libnvrtc-builtins.so.*"):
        (tmp_path / builtins.name).symlink_to(builtins)
    lost = tmp_path / library.name
    lost.write_bytes(library.read_bytes().replace(b"$ORIGIN", b"/nowher"))
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", COMPILES, str(root / "core" / "bootstrap.py"), str(root), str(lost)]
    subprocess.run(command, check=True, timeout=120)


def test_without_a_compiler_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "libnvrtc.so.13"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(nvrtc_module, "candidates", lambda: [str(broken)])
    with pytest.raises(KernelsUnavailable, match="NVRTC cannot be loaded"):
        find_nvrtc()
    monkeypatch.setattr(nvrtc_module, "candidates", list)
    with pytest.raises(KernelsUnavailable, match="not found"):
        find_nvrtc()


def test_kernels_are_compiled_once(nvrtc: Nvrtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_cached(nvrtc, SCALE, "scale", "sm_90", folder=tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as nothing_compiles:
        nothing_compiles.setattr(Nvrtc, "compile", lambda *_: pytest.fail("compiled again"))
        assert compile_cached(nvrtc, SCALE, "scale", "sm_90", folder=tmp_path) == first
    # any other input is another file
    compile_cached(nvrtc, SCALE + "\n", "scale", "sm_90", folder=tmp_path)
    compile_cached(nvrtc, SCALE, "scale", "sm_80", folder=tmp_path)
    compile_cached(nvrtc, SCALE, "scale", "sm_90", ["-lineinfo"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    # a damaged file is made anew
    for damage in (b"", file.read_bytes()[:-1], b"x" + file.read_bytes()[1:]):
        file.write_bytes(damage)
        assert compile_cached(nvrtc, SCALE, "scale", "sm_90", folder=tmp_path) == first


def test_the_cache_does_not_grow_without_end(nvrtc: Nvrtc, tmp_path: Path) -> None:
    for number in range(MOST_FILES):
        old = tmp_path / f"old-{number:02}.bin"
        old.touch()
        os.utime(old, (number, number))
    compile_cached(nvrtc, SCALE, "scale", "sm_90", folder=tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == MOST_FILES
    assert "old-00.bin" not in kept
    assert "old-01.bin" in kept


def test_a_cache_that_cannot_be_written_costs_time_only(nvrtc: Nvrtc, tmp_path: Path) -> None:
    missing = tmp_path / "removed meanwhile"
    assert compile_cached(nvrtc, SCALE, "scale", "sm_90", folder=missing).startswith(b"\x7fELF")


# --- the driver


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("driver") / "libcuda_fake.so"
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler, "these tests need a C++ compiler"
    # CUDA's header, where there is one, checks the declarations
    toolkit = [f"-I{folder}/include" for folder in ("/usr/local/cuda", os.environ.get("CUDA_HOME", "/usr/local/cuda"))]
    source = Path(__file__).with_name("fake_cuda_driver.cpp")
    subprocess.run([compiler, "-shared", "-fPIC", *toolkit, str(source), "-o", str(library)], check=True, timeout=60)
    return library


class Fake:
    """The fake driver's own questions."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._library = ctypes.CDLL(self.path)
        self._library.fake_calls.restype = ctypes.c_char_p

    def calls(self) -> list[str]:
        return self._library.fake_calls().decode().splitlines()

    def reset(self, failing: str = "") -> None:
        self._library.fake_reset(failing.encode())


@pytest.fixture
def faked(fake: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    stream = SimpleNamespace(cuda_stream=0x7F00DEADBEEF)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(multi_processor_count=10))
    held = Fake(fake)
    held.reset()
    return held


CONTEXT, MODULE = 0x7FFF00001000, 0x7FFF00002000
SCALE_KERNEL = Kernel(
    "scale",
    32,
    100,
    (Parameter("out", "pointer"), Parameter("in", "pointer"), Parameter("factor", "f4"), Parameter("count", "u4")),
)


def scale_arguments(out: torch.Tensor, values: torch.Tensor, factor: float, count: int) -> list[Argument]:
    return [
        ctypes.c_void_p(out.data_ptr()),
        ctypes.c_void_p(values.data_ptr()),
        ctypes.c_float(factor),
        ctypes.c_uint32(count),
    ]


def test_a_kernel_runs_with_the_arguments_it_was_given(faked: Fake) -> None:
    module = Driver(faked.path, index=1).load(b"image\0")
    assert module.prepare(SCALE_KERNEL) == 30  # three blocks on each of ten multiprocessors
    values, out = torch.arange(5.0), torch.zeros(5)
    module.launch(SCALE_KERNEL, 7, scale_arguments(out, values, 2.5, 4))
    assert out.tolist() == [0.0, 2.5, 5.0, 7.5, 0.0]
    assert faked.calls() == [
        "cuInit 0",
        "cuDeviceGet 1",
        "cuDevicePrimaryCtxRetain 41",
        f"cuCtxSetCurrent {CONTEXT}",
        "cuModuleLoadDataEx image",
        f"cuCtxSetCurrent {CONTEXT}",
        f"cuModuleGetFunction {MODULE} scale",
        "cuOccupancyMaxActiveBlocksPerMultiprocessor 32 100",
        f"cuCtxSetCurrent {CONTEXT}",
        f"cuLaunchKernel 7 1 1 32 1 1 100 {0x7F00DEADBEEF}",
    ]


def test_once_prepared_nothing_but_launches_happens(faked: Fake) -> None:
    # a graph that is being captured forbids the rest
    module = Driver(faked.path).load(b"image\0")
    hungry = replace(SCALE_KERNEL, shared_bytes=100_000)
    module.prepare(hungry)
    assert faked.calls()[-2] == "cuFuncSetAttribute 8 100000"
    faked.reset()
    values = torch.ones(1)
    for _ in range(2):
        module.launch(hungry, 1, scale_arguments(values, values, 2.0, 1))
    assert [call.split()[0] for call in faked.calls()] == ["cuCtxSetCurrent", "cuLaunchKernel"] * 2
    assert values.item() == 4.0


def test_a_thread_of_its_own_can_launch(faked: Fake) -> None:
    module = Driver(faked.path).load(b"image\0")
    module.prepare(SCALE_KERNEL)
    values, failures = torch.ones(1), []

    def work() -> None:
        try:
            module.launch(SCALE_KERNEL, 1, scale_arguments(values, values, 3.0, 1))
        except UserError as error:
            failures.append(error)

    faked.reset()  # no context is current, as in a new thread
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures
    assert values.item() == 3.0


def test_kernels_are_called_with_arrays_by_name(faked: Fake) -> None:
    module = Driver(faked.path).load(b"image\0")
    module.device = torch.device("cpu")  # where the fake works
    kernels = Kernels(SimpleNamespace(kernels={"scale": SCALE_KERNEL}), module)
    arrays = {"in": torch.arange(3.0), "out": torch.zeros(3), "factor": 2.0, "count": 3, "other": None}
    double = kernels.bind("scale", arrays)
    double()
    assert arrays["out"].tolist() == [0.0, 2.0, 4.0]
    arrays["in"] += 1.0
    double()
    assert arrays["out"].tolist() == [2.0, 4.0, 6.0]
    assert faked.calls()[-1].startswith("cuLaunchKernel 30 ")


@pytest.mark.parametrize(
    "function",
    [
        "cuInit",
        "cuDeviceGet",
        "cuDevicePrimaryCtxRetain",
        "cuModuleLoadDataEx",
        "cuModuleGetFunction",
        "cuOccupancyMaxActiveBlocksPerMultiprocessor",
    ],
)
def test_what_fails_before_the_first_launch_names_itself(faked: Fake, function: str) -> None:
    faked.reset(function)
    with pytest.raises(KernelsUnavailable, match="CUDA_ERROR_ILLEGAL_ADDRESS") as caught:
        Driver(faked.path).load(b"image\0").prepare(SCALE_KERNEL)
    assert "\n" not in str(caught.value)
    if function == "cuModuleLoadDataEx":
        assert caught.value.details == "ptxas: the log has room for 16384 bytes"


@pytest.mark.parametrize("failing", ["cuFuncSetAttribute", "no room"])
def test_too_much_shared_memory_is_said(faked: Fake, failing: str) -> None:
    module = Driver(faked.path).load(b"image\0")
    faked.reset(failing)
    with pytest.raises(KernelsUnavailable, match="does not run scale with 32 threads and 97 KiB of shared memory"):
        module.prepare(replace(SCALE_KERNEL, shared_bytes=100_000))


def test_a_launch_that_fails_tells_the_user_what_to_do(faked: Fake) -> None:
    module = Driver(faked.path).load(b"image\0")
    module.prepare(SCALE_KERNEL)
    faked.reset("cuLaunchKernel")
    values = torch.ones(1)
    with pytest.raises(UserError, match=r"scale was started: CUDA_ERROR_ILLEGAL_ADDRESS .*--device cpu"):
        module.launch(SCALE_KERNEL, 1, scale_arguments(values, values, 2.0, 1))


def test_a_missing_driver_is_said(tmp_path: Path) -> None:
    with pytest.raises(KernelsUnavailable, match="driver cannot be loaded"):
        Driver(str(tmp_path / "libcuda.so.1"))
    other = ctypes.util.find_library("m") if sys.platform == "linux" else None
    if other:
        with pytest.raises(KernelsUnavailable, match="cuInit"):
            Driver(other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_a_compiled_kernel_runs_and_is_recorded(nvrtc: Nvrtc) -> None:
    values, out = torch.arange(5.0, device="cuda"), torch.zeros(5, device="cuda")
    capability = torch.cuda.get_device_capability()
    target = nvrtc.target(10 * capability[0] + capability[1])
    driver = Driver(index=torch.cuda.current_device())
    for image in (
        nvrtc.compile(SCALE, "scale.cu", target),
        nvrtc.compile(SCALE, "scale.cu", f"compute_{target.split('_')[1]}"),
    ):
        values[:] = torch.arange(5.0)
        module = driver.load(image)
        kernels = Kernels(SimpleNamespace(kernels={"scale": SCALE_KERNEL}), module)
        scale = kernels.bind("scale", {"in": values, "out": out, "factor": 2.5, "count": 4})
        scale()
        assert out.tolist() == [0.0, 2.5, 5.0, 7.5, 0.0]
        again = kernels.record(scale)
        values.fill_(2.0)
        again()
        assert out.tolist() == [5.0, 5.0, 5.0, 5.0, 0.0]
        out.zero_()
    with pytest.raises(KernelsUnavailable, match="does not load"):
        driver.load(b"this is no PTX\0")
