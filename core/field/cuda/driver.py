# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA driver through ctypes: machine code becomes kernels, and kernels run on PyTorch's current stream.

Memory, streams and graphs are PyTorch's. Both work in the device's primary context, so that addresses are the same;
a launch inside `torch.cuda.graph` is recorded like PyTorch's own.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence

import torch

from ...errors import UserError
from .failure import KernelsUnavailable
from .launch import Argument, Work
from .program import Kernel

_HANDLE = ctypes.c_void_p
_HANDLES = ctypes.POINTER(ctypes.c_void_p)
_INT = ctypes.c_int
_UNSIGNED = ctypes.c_uint
# functions of the library, with their arguments; all return a CUresult. A CUdevice is an int, the rest are pointers
_SIGNATURES = {
    "cuInit": [_UNSIGNED],
    "cuGetErrorName": [_INT, ctypes.POINTER(ctypes.c_char_p)],
    "cuGetErrorString": [_INT, ctypes.POINTER(ctypes.c_char_p)],
    "cuDeviceGet": [ctypes.POINTER(_INT), _INT],
    "cuDevicePrimaryCtxRetain": [_HANDLES, _INT],
    "cuCtxSetCurrent": [_HANDLE],
    "cuModuleLoadDataEx": [_HANDLES, ctypes.c_void_p, _UNSIGNED, ctypes.POINTER(_INT), _HANDLES],
    "cuModuleUnload": [_HANDLE],
    "cuModuleGetFunction": [_HANDLES, _HANDLE, ctypes.c_char_p],
    "cuFuncSetAttribute": [_HANDLE, _INT, _INT],
    "cuOccupancyMaxActiveBlocksPerMultiprocessor": [ctypes.POINTER(_INT), _HANDLE, _INT, ctypes.c_size_t],
    "cuLaunchKernel": [_HANDLE, *[_UNSIGNED] * 7, _HANDLE, _HANDLES, _HANDLES],
}

_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8  # of CUfunction_attribute
_ERROR_LOG_BUFFER, _ERROR_LOG_BUFFER_SIZE_BYTES = 5, 6  # of CUjit_option
_LOG_BYTES = 16384
# more shared memory than this has to be asked for
_SHARED_WITHOUT_ASKING = 48 * 1024


class Driver:
    """The driver of the device `index`, in its primary context."""

    def __init__(self, library: str | None = None, index: int = 0) -> None:
        """Raises: KernelsUnavailable: the library cannot be loaded, or has no such device."""
        name = library or ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        try:
            # on 64-bit Windows there is one calling convention: WinDLL would be the same
            self._library = ctypes.CDLL(name)
            for function, arguments in _SIGNATURES.items():
                found = getattr(self._library, function)
                found.argtypes, found.restype = arguments, _INT
        except (OSError, AttributeError) as error:
            raise KernelsUnavailable(f"the CUDA driver cannot be loaded: {error}") from error
        self._index = index
        self._prepare("cuInit", 0)
        device = _INT()
        self._prepare("cuDeviceGet", ctypes.byref(device), index)
        self._context = ctypes.c_void_p()
        # never released: PyTorch holds it until the process ends
        self._prepare("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)

    def load(self, image: bytes) -> Module:
        """The kernels of a cubin, or of PTX that ends in a zero byte.

        Raises:
            KernelsUnavailable: the driver does not take it; the exception's `details` are its compiler's log.
        """
        self._prepare("cuCtxSetCurrent", self._context)
        log = ctypes.create_string_buffer(_LOG_BYTES)
        options = (_INT * 2)(_ERROR_LOG_BUFFER, _ERROR_LOG_BUFFER_SIZE_BYTES)
        # a void* that holds a number, as the driver wants its options' values
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), _LOG_BYTES)
        handle = ctypes.c_void_p()
        status = self._library.cuModuleLoadDataEx(ctypes.byref(handle), image, 2, options, values)
        if status:
            words = log.value.decode(errors="replace").strip()
            reason = f"the CUDA driver does not load the kernels: {self.reason(status)}"
            raise KernelsUnavailable(reason, words)
        return Module(self, handle, self._index)

    def reason(self, status: int) -> str:
        """An error's name and its description."""
        name, words = ctypes.c_char_p(), ctypes.c_char_p()
        self._library.cuGetErrorName(status, ctypes.byref(name))
        self._library.cuGetErrorString(status, ctypes.byref(words))
        if not name.value:
            return f"CUDA error {status}"
        return f"{name.value.decode()} ({words.value.decode() if words.value else 'no description'})"

    def _prepare(self, function: str, *arguments: object) -> None:
        """Call what comes before any launch."""
        status = getattr(self._library, function)(*arguments)
        if status:
            raise KernelsUnavailable(f"the CUDA driver failed in {function}: {self.reason(status)}")

    def function(self, module: ctypes.c_void_p, kernel: Kernel) -> tuple[ctypes.c_void_p, int]:
        """A kernel, and how many of its blocks one multiprocessor runs at the same time.

        Raises:
            KernelsUnavailable: it is not there, or wants more than the device has.
        """
        self._prepare("cuCtxSetCurrent", self._context)
        handle, blocks = ctypes.c_void_p(), _INT()
        status = self._library.cuModuleGetFunction(ctypes.byref(handle), module, kernel.name.encode())
        if status:
            raise KernelsUnavailable(f"the CUDA kernel {kernel.name} is not there: {self.reason(status)}")
        shared = kernel.shared_bytes
        if shared > _SHARED_WITHOUT_ASKING:
            status = self._library.cuFuncSetAttribute(handle, _MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
        status = status or self._library.cuOccupancyMaxActiveBlocksPerMultiprocessor(
            ctypes.byref(blocks), handle, kernel.threads, shared
        )
        if status or not blocks.value:
            reason = self.reason(status) if status else "not one block of it can run"
            raise KernelsUnavailable(
                f"this GPU does not run {kernel.name} with {kernel.threads} threads and {shared // 1024} KiB of shared "
                f"memory: {reason}"
            )
        return handle, blocks.value

    def launch(
        self,
        function: ctypes.c_void_p,
        kernel: Kernel,
        blocks: int,
        stream: int,
        arguments: ctypes.Array[ctypes.c_void_p],
    ) -> None:
        """cuLaunchKernel on `stream`; `arguments` are the addresses of the kernel's arguments.

        Raises:
            UserError: the driver refuses, or an earlier kernel failed.
        """
        # a new thread has no context yet
        self._library.cuCtxSetCurrent(self._context)
        status = self._library.cuLaunchKernel(
            function, blocks, 1, 1, kernel.threads, 1, 1, kernel.shared_bytes, stream, arguments, None
        )
        if status:
            raise UserError(
                f"the GPU failed when {kernel.name} was started: {self.reason(status)}; try again, or use --device cpu"
            )


class Module:
    """A `Launcher`: loaded kernels on the device `index`."""

    def __init__(self, driver: Driver, handle: ctypes.c_void_p, index: int) -> None:
        self.device = torch.device("cuda", index)
        self._driver = driver
        self._handle = handle
        self._functions: dict[str, ctypes.c_void_p] = {}

    def prepare(self, kernel: Kernel) -> int:
        handle, blocks = self._driver.function(self._handle, kernel)
        self._functions[kernel.name] = handle
        return blocks * torch.cuda.get_device_properties(self.device).multi_processor_count

    def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument]) -> None:
        addresses = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(one) for one in arguments))
        stream = torch.cuda.current_stream(self.device).cuda_stream
        # `arguments` lives until the call returns; the driver has copied them by then
        self._driver.launch(self._functions[kernel.name], kernel, blocks, stream, addresses)

    def record(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        # PyTorch captures on a stream of its own, which is the current one in there
        with torch.cuda.graph(graph):
            work()
        replay: Work = graph.replay
        return replay
