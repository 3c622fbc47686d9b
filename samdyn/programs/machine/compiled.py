"""From the text of a module to a function that can be called; LLVM is loaded when first needed.

Object code is kept with what the command line keeps, found by the module's text, the processor and
the version of LLVM; a damaged file is compiled again (`kept.py`). Where there is no LLVM, or a
processor without fused multiply-add, `why_not` says so, and XLA does the work.
"""

import ctypes
import functools
import hashlib
import itertools
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import kept

_one_at_a_time = threading.RLock()  # LLVM's linker is not asked by two threads at once
_numbers = itertools.count()  # no two libraries of a linker may have one name
HIDDEN = "SAMDYN_WITHOUT_LLVM"  # set, it is as if llvmlite were not installed


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def _why_not() -> str:
    try:
        llvm = _llvm()
    except (ImportError, OSError, RuntimeError) as error:
        return f"llvmlite is not here ({error})"
    if "fma" not in _features() and not llvm.get_process_triple().startswith("aarch64"):
        return "the processor has no fused multiply-add"
    return ""


def why_not() -> str:
    """Why nothing can be compiled here; "" where it can."""
    return f"{HIDDEN} is set" if os.environ.get(HIDDEN) else _why_not()


@functools.cache
def _features() -> frozenset[str]:
    return frozenset(name for name, there in _llvm().get_host_cpu_features().items() if there)


@functools.cache
def vector_bytes() -> int:
    """Bytes of the processor's widest vectors."""
    features = _features()
    if "avx512f" in features:
        return 64
    return 32 if "avx2" in features else 16


def triple() -> str:
    """What machine code is made for."""
    return _llvm().get_process_triple()


class Compiled:
    """A module's function as machine code, called without Python's lock.

    It is given pointers (NumPy arrays) and whole numbers, and returns a whole number.
    """

    def __init__(self, text: str, function: str):
        with _one_at_a_time:
            self._make(text, function)

    def _make(self, text: str, function: str) -> None:
        code = kept.arrays(
            ["machine code", text, *_target()],
            lambda: {"object": np.frombuffer(_object(text), np.uint8)},
        )["object"].tobytes()
        llvm, name = _llvm(), hashlib.sha256(text.encode()).hexdigest()
        builder = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(function)
        self._held = builder.link(_jit(), f"{name}.{next(_numbers)}")
        self._address = self._held[function]

    def __call__(self, *arguments: Any) -> int:
        types = [ctypes.c_void_p if _is_array(a) else ctypes.c_int64 for a in arguments]
        given = [a.ctypes.data if _is_array(a) else int(a) for a in arguments]
        return _callable(self._address, tuple(types))(*given)


def _is_array(argument: Any) -> bool:
    return isinstance(argument, np.ndarray)


@functools.lru_cache(maxsize=256)
def _callable(address: int, types: tuple[Any, ...]) -> Callable[..., int]:
    return ctypes.CFUNCTYPE(ctypes.c_int64, *types)(address)


@functools.lru_cache(maxsize=256)
def compiled(text: str, function: str) -> Compiled:
    """The function of a module, compiled once."""
    return Compiled(text, function)


def _target() -> list[str]:
    llvm = _llvm()
    version = ".".join(map(str, llvm.llvm_version_info))
    return [llvm.get_host_cpu_name(), ",".join(sorted(_features())), f"LLVM {version}"]


@functools.cache
def _machine() -> Any:
    llvm = _llvm()
    return llvm.Target.from_triple(triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
        # code and constants may be loaded farther apart than 2 GiB: whole addresses only
        reloc="static",
        codemodel="large",
    )


@functools.cache
def _jit() -> Any:
    return _llvm().create_lljit_compiler(_machine())


def _object(text: str) -> bytes:
    llvm = _llvm()
    module = llvm.parse_assembly(text)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    passes = llvm.create_pass_builder(_machine(), options)
    passes.getModulePassManager().run(module, passes)
    return _machine().emit_object(module)
