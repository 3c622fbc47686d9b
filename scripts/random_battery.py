"""The engine's random words as a raw stream, for a battery of tests that reads standard input.

    python scripts/random_battery.py path | dieharder -a -g 200
    python scripts/random_battery.py counter | dieharder -a -g 200

"path": one path after another, of each the words of its first 2^20 counters, as a run draws them.
"counter": one counter after another, of each the words of 2^20 paths, as lanes draw them side by
side: neighbours then differ in their key alone. The words are those of the compiled loop.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np

from samdyn.escape.engine.stepping import generator
from samdyn.programs.machine.columns import Columns
from samdyn.programs.tracing.flatten import flatten

ROW = 2**20


def words(seed_first, seed_second, index, counter):
    """The two words of a path's counter."""
    key = generator.path_key(jnp.stack([seed_first, seed_second]), index)
    return generator.random_words(key, counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("order", choices=["path", "counter"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    word = jax.ShapeDtypeStruct((), jnp.uint32)
    columns = Columns(flatten(words, word, word, word, word), 4)
    seed = [np.full(ROW, part) for part in generator.seed_words(arguments.seed)]
    inner, out = np.arange(ROW, dtype=np.uint32), sys.stdout.buffer
    for outer in range(2**32 - 1):
        outers = np.full(ROW, outer, np.uint32)
        pair = (outers, inner) if arguments.order == "path" else (inner, outers)
        try:
            out.write(np.stack(columns([*seed, *pair]), axis=1).tobytes())
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
