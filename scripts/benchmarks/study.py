"""Training runs side by side against one after another: seconds for the same cell of a study.

Prints both after compiling, and the largest difference between their final losses, which rounding
alone makes and training amplifies.
"""

import argparse
import time

import numpy as np

import samdyn


def timed(**options) -> tuple[float, samdyn.Study]:
    """Seconds of a cell, after an untimed run of one step that compiles."""
    settings = {"rho": (0.02, 0.05, 0.1, 0.2), "momentum": 0.9, "seeds": 3}
    data = samdyn.digits()
    samdyn.study("sam", data, **{**settings, **options, "steps": 1})
    began = time.perf_counter()
    result = samdyn.study("sam", data, **settings, **options)
    return time.perf_counter() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--steps", type=int, default=400, help="at batch size 16, fewer above")
    args = parser.parse_args()
    print("12 runs of SAM   side by side   default groups   one by one   loss differs by")
    for size in (16, 64, 256, 1024):
        options = {
            "model": args.model,
            "batch_size": size,
            "steps": max(4, args.steps * 16 // size),
        }
        (together, a), (grouped, _), (alone, b) = (
            timed(lanes=lanes, **options) for lanes in (12, None, 1)
        )
        loss = [np.array([row.train_loss for row in result.rows]) for result in (a, b)]
        difference = np.max(np.abs(loss[0] - loss[1]) / loss[1])
        print(
            f"batch size {size:<5d} {together:10.2f} s {grouped:14.2f} s {alone:10.2f} s "
            f"{difference:14.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
