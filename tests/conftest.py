"""Every test runs in float64, with shapes and dtypes of samdyn checked at each call."""

import gc
import os
import pathlib

import jax
import jaxtyping
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_num_cpu_devices", 2)

# Before samdyn is imported: its annotations become run-time checks.
if "SAMDYN_NO_HOOK" not in os.environ:
    jaxtyping.install_import_hook("samdyn", "beartype.beartype")


@pytest.fixture(autouse=True)
def _double_precision():
    """A command with --dtype float32 that runs in this process must not decide for later tests."""
    yield
    jax.config.update("jax_enable_x64", True)


MAPS = pathlib.Path("/proc/self/maps")
# Linux allows a process 65,530; beyond, the compiler dies of a segmentation fault.
MOST_MAPS = 30_000


@pytest.fixture(autouse=True, scope="module")
def _few_memory_maps():
    """Compiled functions that no test needs any more are dropped: each holds some memory maps."""
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()
