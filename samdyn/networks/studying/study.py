"""A grid of training runs: method × radius × momentum × batch size × seed.

A *cell* is one (method, batch size, momentum). Its radii and seeds are lanes that train side by
side, and it is what the folder of results keeps. The order of everything is fixed, so a study
that was killed and resumed has the rows of one that was not.
"""

import functools
import math
import numbers
import time
from collections.abc import Callable
from typing import Any

import jax

from ...dynamics.methods.names import named_method
from ...errors import InvalidInput
from ...interrupts import heed, heeded
from ...results.identity import values
from ...results.provenance import recorded
from ..data.dataset import Dataset
from ..training.models import model as make_model
from ..training.parts import parts_of
from ..training.training import check_batch_size, train
from .cells import CellStore
from .grid import Cell, axis, budget_of, cells_of, fraction, method, radius, rate, seed_of, whole
from .interaction import Row
from .standing import Clock, Standing
from .study_result import Study

LR_RULES = ("fixed", "effective")
EXAMPLES = {"mlp": 1024, "small-resnet": 64, "resnet18": 1}  # of all lanes in one step, at most
PIECE = {"mlp": None, "small-resnet": 64, "resnet18": 32}  # of one minibatch, at a time


@recorded
def study(
    methods: Any,
    data: Dataset,
    *,
    rho: Any = (0.02, 0.05, 0.1, 0.2),
    momentum: Any = (0.0, 0.5, 0.9, 0.95),
    batch_size: Any = (16, 64, 256, 1024),
    learning_rate: Any = 0.02,
    lr_rule: str = "fixed",
    epochs: Any = None,
    steps: Any = None,
    seeds: Any = 3,
    model: str = "mlp",
    norm: str | None = None,
    lanes: Any = None,
    out: Any = None,
    resume: bool = False,
    progress: Callable[[Standing], None] | None = None,
) -> Study:
    """Train a network at every point of a grid.

    The axes `methods`, `rho`, `momentum`, `batch_size` and `seeds` are one value or a sequence
    (n,).
    `methods` are names of `samdyn.METHODS`; "gd" has no radius and is run once, with rho 0.
    `lr_rule` "fixed" runs every momentum γ with `learning_rate`; "effective" runs it with
    learning_rate·(1 − γ), which keeps lr/(1 − γ), the total step of one gradient, the same.
    `epochs` (of ⌊n/B⌋ steps each) or `steps` is the budget of every run; default 50 epochs.
    `seeds` K means 0 … K−1. `model` and `norm` are as in `samdyn.networks.training.models.model`.

    Up to `lanes` radii and seeds of a cell train in one computation. The default is what was
    fastest on a CPU: as many as make 1024 examples a step for the MLP, 64 for the small residual
    net, one after another for ResNet-18; more fall out of the cache. A GPU likes all of them.
    For the same reason residual nets take a minibatch of more than 64 examples (ResNet-18: 32) in
    pieces of that, which changes nothing but rounding.
    Rounding depends on that number, and training amplifies rounding: with equal options and
    `lanes` the rows are the same, with other `lanes` only their first steps are.

    With `out` each finished cell is stored in that folder; `resume=True` goes on with what is
    there. Ctrl-C returns the finished cells, `interrupted`. `progress` is called with a `Standing`.

    `InvalidInput` for an empty axis, a number out of range, a batch larger than the data.
    """
    budget = budget_of(epochs, steps)
    grid = {
        "methods": axis("method", methods, method),
        "rho": axis("rho", rho, radius),
        "momentum": axis("momentum", momentum, fraction),
        "batch_size": axis("batch size", batch_size, whole),
        "seeds": axis("seed", range(whole(seeds, "number of seeds")), int)
        if isinstance(seeds, numbers.Number)
        else axis("seed", seeds, seed_of),
    }
    for size in grid["batch_size"]:
        check_batch_size(size, len(data.train_y))
    if lr_rule not in LR_RULES:
        raise InvalidInput(f"the rule for lr is 'fixed' or 'effective', not {lr_rule!r}.")
    make = functools.partial(_make, model, data.shape, data.classes, norm)
    jax.eval_shape(make, jax.random.key(0))  # refuses what cannot be, before the first run
    cells = cells_of(grid, rate(learning_rate), lr_rule, budget, len(data.train_y))
    config = {
        "data": data.name,
        "data_sha256": values(data),
        **grid,
        "learning_rate": float(learning_rate),
        "lr_rule": lr_rule,
        **budget,
        "model": model,
        "norm": norm,
        "lanes": None if lanes is None else whole(lanes, "number of lanes"),
        "jax": jax.__version__,
    }
    if resume and out is None:
        raise InvalidInput("resume goes on with a folder of results: give out.")
    store = None
    if out is not None:
        kinds = {name: named_method(name, 0.0) for name in grid["methods"]}
        parts = parts_of(data, make, kinds, min(grid["batch_size"]), PIECE[model])
        store = CellStore(out, {**config, "problem": parts}, resume)
    width = functools.partial(_width, EXAMPLES[model], lanes)
    run = functools.partial(_run, data, make, width, PIECE[model])
    return _collect(cells, run, store, config, Clock(cells, progress))


def _collect(cells, run, store, config, clock) -> Study:
    began, rows, curves, interrupted, loaded = time.monotonic(), [], [], False, 0
    try:
        with heeded():
            for cell in cells:
                found = store.read(cell) if store else None
                loaded += len(found["rows"]) if found else 0
                if found is None:
                    clock.begin(cell)
                    found = run(cell, clock.within)
                    if store:
                        store.write(cell.index, found)
                clock.end(cell)
                rows += [Row(**row) for row in found["rows"]]
                curves += found["curves"]
                heed()
    except KeyboardInterrupt:
        interrupted = True
    total = sum(len(cell.lanes) for cell in cells)
    return Study(rows, curves, config, total, interrupted, time.monotonic() - began, loaded)


def _run(dataset, make, width_of, piece, cell: Cell, report) -> dict[str, Any]:
    """The rows of one cell and the losses along their ways, as JSON keeps them."""
    lanes, rows, curves = cell.lanes, [], []
    width = width_of(cell)
    for begin in range(0, len(lanes), width):
        real = lanes[begin : begin + width]
        group = real + real[-1:] * (width - len(real))  # another shape would be compiled anew
        share = len(real) / len(lanes)
        done = train(
            dataset,
            make,
            named_method(cell.method, 0.0),
            rho=[rho for rho, _ in group],
            learning_rate=cell.lr,
            momentum=cell.momentum,
            batch_size=cell.batch_size,
            steps=cell.steps,
            seeds=[seed for _, seed in group],
            piece=piece,
            progress=lambda part, b=begin, s=share: report(b / len(lanes) + part * s),
        )
        rows += [_row(cell, lane, done, index)._asdict() for index, lane in enumerate(real)]
        curves += [[_or_none(v) for v in curve] for curve in done.curve[: len(real)]]
    return {"rows": rows, "curves": curves}


def _width(examples: int, limit: int | None, cell: Cell) -> int:
    """How many lanes train side by side: groups as even as can be, none above the limit."""
    limit = max(1, examples // cell.batch_size) if limit is None else limit
    groups = -(-len(cell.lanes) // limit)
    return -(-len(cell.lanes) // groups)


def _row(cell: Cell, lane: tuple[float, int], done: Any, index: int) -> Row:
    plateau = int(done.plateau_steps[index])
    return Row(
        cell.method,
        lane[0],
        cell.momentum,
        cell.batch_size,
        cell.lr,
        lane[1],
        _or_none(done.train_loss[index]),
        _or_none(done.train_accuracy[index]),
        _or_none(done.test_accuracy[index]),
        None if plateau < 0 else plateau,
        str(done.status[index]),
    )


def _or_none(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _make(name: str, shape: tuple, classes: int, norm: str | None, key: Any) -> Any:
    return make_model(name, shape, classes, key, norm)
