"""A grid of training runs: method × radius × momentum × batch size × seed.

A *cell* is one (method, batch size, momentum). Its radii and seeds are lanes that train side by
side, and it is what the folder of results keeps. The order of everything is fixed, so a study
that was killed and resumed has the rows of one that was not.
"""

import functools
import math
import numbers
import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax

from ...dynamics.tree import as_dtype
from ...errors import ComputationFailed, InvalidInput, brief
from ...interrupts import heed, heeded
from ...progress import telling
from ...results.problem.identity import values
from ...results.provenance import recorded
from ..data.dataset import Dataset
from ..training.models import model as make_model
from ..training.parts import parts_of
from ..training.training import check_batch_size, train
from .cells import CellStore
from .contenders import Contender, contenders_of
from .grid import Cell, axis, budget_of, cells_of, fraction, listed, radius, rate, seed_of, whole
from .interaction import Row
from .standing import Clock
from .study_result import Study

LR_RULES = ("fixed", "effective")
EXAMPLES = {"mlp": 1024, "small-resnet": 64, "resnet18": 1}  # of all lanes in one step, at most
UNKNOWN = 64  # the same, for a network that is somebody's own
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
    model: Any = "mlp",
    norm: str | None = None,
    lanes: Any = None,
    out: Any = None,
    resume: bool = False,
    progress: Any = None,
) -> Study:
    """Train a network at every point of a grid.

    The axes `methods`, `rho`, `momentum`, `batch_size` and `seeds` are one value or a sequence
    (n,).
    `methods` are names of `samdyn.METHODS`, classes or functions that make a method of a radius, or
    methods with their own numbers; these are run once, as is "gd" with rho 0.
    `lr_rule` "fixed" runs every momentum γ with `learning_rate`; "effective" runs it with
    learning_rate·(1 − γ), which keeps lr/(1 − γ), the total step of one gradient, the same.
    `epochs` (of ⌊n/B⌋ steps each) or `steps` is the budget of every run; default 50 epochs.
    `seeds` K means 0 … K−1. `model` is a function of a random key that returns a network, itself a
    function of one input to logits (classes,), or a name with its `norm` as in
    `samdyn.networks.training.models.model`.

    Up to `lanes` radii and seeds of a cell train in one computation. The default is what was
    fastest on a CPU: as many as make 1024 examples a step for the MLP, 64 for the small residual
    net, one after another for ResNet-18; more fall out of the cache. A GPU likes all of them.
    For the same reason residual nets take a minibatch of more than 64 examples (ResNet-18: 32) in
    pieces of that, which changes nothing but rounding.
    Rounding depends on that number, and training amplifies rounding: with equal options and
    `lanes` the rows are the same, with other `lanes` only their first steps are.

    With `out` each finished cell is stored in that folder; `resume=True` goes on with what is
    there. Ctrl-C returns the finished cells, `interrupted`. `progress` is
    None, True for a line on stderr, or a function of a `Progress` with a `Standing`.

    `InvalidInput` for an empty axis, a number out of range, a batch larger than the data.
    """
    budget = budget_of(epochs, steps)
    radii = axis("rho", rho, radius)
    contenders = contenders_of(listed("method", methods), radii)
    grid = {
        "methods": tuple(contender.name for contender in contenders),
        "rho": radii,
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
    make = _maker(model, data, norm)
    _check_network(make, data)
    model = model if isinstance(model, str) else getattr(model, "__name__", type(model).__name__)
    piece = PIECE.get(model)
    cells = cells_of(contenders, grid, rate(learning_rate), lr_rule, budget, len(data.train_y))
    config = {
        "data": data.name,
        "data_sha256": values(data),
        **grid,
        "learning_rate": float(learning_rate),
        "lr_rule": lr_rule,
        **budget,
        **_own_radii(contenders),
        "model": model,
        "norm": norm,
        "lanes": None if lanes is None else whole(lanes, "number of lanes"),
        "jax": jax.__version__,
    }
    if resume and out is None:
        raise InvalidInput("resume goes on with a folder of results: give out.")
    store = None
    if out is not None:
        parts = parts_of(data, make, contenders, min(grid["batch_size"]), piece)
        store = CellStore(out, {**config, "problem": parts}, resume)
    width = functools.partial(_width, EXAMPLES.get(model, UNKNOWN), lanes)
    run = functools.partial(_run, data, make, width, piece)
    with telling(progress, "study") as tell:
        return _collect(cells, run, store, config, Clock(cells, tell))


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
            [cell.make(rho) for rho, _ in group],
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


def _own_radii(contenders: Sequence[Contender]) -> dict[str, Any]:
    """The radii that objects bring with them, where there are any."""
    if all(contender.by_name for contender in contenders):
        return {}
    return {"own_rho": tuple(contender.own for contender in contenders)}


def _maker(model: Any, data: Dataset, norm: str | None) -> Callable[[Any], Any]:
    """key ↦ a network, of a name or of what is that already."""
    if isinstance(model, str):
        return functools.partial(_make, model, data.shape, data.classes, norm)
    if not callable(model):
        raise InvalidInput(
            f"a model is a name such as 'mlp' or a function of a key, not {model!r}."
        )
    if norm is not None:
        raise InvalidInput("norm belongs to a model by name: a network brings its own.")
    return model


def _make(name: str, shape: tuple, classes: int, norm: str | None, key: Any) -> Any:
    return make_model(name, shape, classes, key, norm)


def _check_network(make: Callable[[Any], Any], data: Dataset) -> None:
    """Refuses what cannot be, before the first run."""
    key, x = jax.random.key(0), jax.ShapeDtypeStruct(data.shape, data.train_x.dtype)
    try:
        logits = eqx.filter_eval_shape(lambda key, x: as_dtype(make(key), x.dtype)(x), key, x)
        found = getattr(logits, "shape", None)
    except (InvalidInput, ComputationFailed):
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise ComputationFailed(f"the model failed: {brief(error, make)}.") from error
    if found != (data.classes,):
        raise InvalidInput(
            f"a network maps one input of shape {data.shape} to logits of shape "
            f"({data.classes},), not to {found}."
        )
