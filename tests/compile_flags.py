"""XLA's flags for tests, which wait for the compiler more than for what it writes.

Flags come and go with its versions, and it dies of one that it doesn't know: they are tried first.
The tests that check the shapes of annotations keep the usual code (Makefile).
"""

import os
import subprocess
import sys

# Level 0 compiles fastest; from level 1 on last bits are those of all higher ones.
QUICK = (
    f"--xla_backend_optimization_level={os.environ.get('SAMDYN_COMPILE_LEVEL', '0')} "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)


def quick() -> str:
    """Flags with which code is compiled in little time; none where XLA doesn't have them."""
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    with_flags = {**os.environ, "XLA_FLAGS": QUICK}
    started = subprocess.run(command, env=with_flags, capture_output=True, check=False)
    return "" if started.returncode else QUICK
