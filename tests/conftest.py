"""Every test runs in float64, on two devices, and without silent broadcasting or casting."""

import atexit
import gc
import os
import pathlib
import signal
import sys
import tempfile

import compile_flags

# Compiled code is shared by workers and by commands that tests start; set before jax is imported.
# Of each session its own: a command that is killed while it writes would spoil it for later ones.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="samdyn-compiled-", ignore_cleanup_errors=True)
    atexit.register(_compiled.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
if "SAMDYN_CACHE_DIR" not in os.environ:  # the user's own is left alone
    _kept = tempfile.TemporaryDirectory(prefix="samdyn-kept-", ignore_cleanup_errors=True)
    atexit.register(_kept.cleanup)
    os.environ["SAMDYN_CACHE_DIR"] = _kept.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Most tests wait for the compiler, and without its optimisations it takes a third of the time.
if "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = compile_flags.quick()

# Two workers on two cores: threads of BLAS that wait busily for work take a third of it away.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

# A trace makes many objects and drops few: collecting at every 700 took a third of the time.
gc.set_threshold(50_000, 20, 50)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_num_cpu_devices", 2)


@pytest.fixture(autouse=True)
def _double_precision():
    """A command with --dtype float32 that runs in this process must not decide for later tests."""
    yield
    jax.config.update("jax_enable_x64", True)


@pytest.fixture(autouse=True)
def _no_open_figures():
    """Where a test uses pyplot figures are its, and more than twenty of them a warning."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture
def sigint():
    """Ctrl-C as in a terminal, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


MAPS = pathlib.Path("/proc/self/maps")
# Linux allows a process 65,530; beyond, the compiler dies of a segmentation fault.
MOST_MAPS = 30_000


@pytest.fixture(autouse=True, scope="module")
def _few_memory_maps():
    """Compiled functions that no test needs any more are dropped: each holds some memory maps."""
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()
