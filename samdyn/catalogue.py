"""Every name that the command line and `str` arguments know: what it is, and where it is defined.

Imports no JAX, so that `samdyn --help` answers at once. To register a method, noise, coupling,
scheme, model or command is one line here, beside its own file.
"""

import difflib
import importlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import InvalidInput


class Entry(NamedTuple):
    """A registered name: a line of help, `module:attribute` within samdyn, and what that is
    called with ("rho", "size", "batch_size", …; nothing for what is taken as it is)."""

    name: str
    help: str
    where: str
    options: tuple[str, ...] = ()

    def load(self) -> Any:
        """What is defined there."""
        module, _, attribute = self.where.partition(":")
        found = importlib.import_module(f"samdyn.{module}")
        return getattr(found, attribute) if attribute else found


def _table(*entries: Entry) -> Mapping[str, Entry]:
    return {entry.name: entry for entry in entries}


_RHO, _STEPS = ("rho",), ("rho", "steps")

METHODS = _table(
    Entry("gd", "gradient descent", "dynamics.methods.gd:GD"),
    Entry("sam", "normalised SAM", "dynamics.methods.sam:SAM", _RHO),
    Entry("usam", "unnormalised SAM", "dynamics.methods.usam:USAM", _RHO),
    Entry("asam", "adaptive SAM", "dynamics.methods.asam:ASAM", _RHO),
    Entry(
        "samgrad",
        "gradient of USAM's perturbed loss",
        "dynamics.methods.perturbed_loss:samgrad",
        _RHO,
    ),
    Entry("wsam", "weighted SAM", "dynamics.methods.wsam:WSAM", _RHO),
    Entry("ssam", "stable SAM", "dynamics.methods.stable:SSAM", _RHO),
    Entry(
        "gsam", "SAM that descends the surrogate gap", "dynamics.methods.surrogate_gap:GSAM", _RHO
    ),
    Entry("unified-sam", "between USAM and SAM", "dynamics.methods.unified:UnifiedSAM", _RHO),
    Entry("fsam", "friendly SAM", "dynamics.methods.friendly:FriendlySAM", _RHO),
    Entry(
        "fsam-paper",
        "friendly SAM as its paper orders it",
        "dynamics.methods.friendly:friendly_sam_as_published",
        _RHO,
    ),
    Entry(
        "fsam-rest",
        "friendly SAM whose mean is fed with the rest, as one library has it",
        "dynamics.methods.friendly:friendly_sam_fed_with_the_rest",
        _RHO,
    ),
    Entry("vasso", "variance-suppressed SAM", "dynamics.methods.variance_suppressed:VaSSO", _RHO),
    Entry("msam", "momentum-SAM", "dynamics.methods.momentum_sam:MSAM", _RHO),
    Entry("looksam", "SAM every fifth step", "dynamics.methods.look:LookSAM", _RHO),
    Entry("sam-K", "SAM in K ascents", "dynamics.methods.multi_step:sam_in_steps", _STEPS),
    Entry("usam-K", "USAM in K ascents", "dynamics.methods.multi_step:usam_in_steps", _STEPS),
)

NOISES = _table(
    Entry("additive", "dX = b dt + S dW", "dynamics.noise.noise:Additive", ("size",)),
    Entry(
        "isotropic",
        "standard deviation of one example's gradient",
        "dynamics.noise.noise:Isotropic",
        ("size", "batch_size"),
    ),
    Entry("fisher", "covariance |H|/B", "dynamics.noise.noise:Fisher", ("batch_size",)),
)

COUPLINGS = _table(
    Entry("same-batch", "one minibatch for both gradients", "dynamics.coupling:SameBatch"),
    Entry("fresh", "noise in the outer gradient only", "dynamics.coupling:Fresh"),
    Entry("independent", "two minibatches", "dynamics.coupling:Independent"),
    Entry("paper", "the perturbed loss, as arXiv 2301.06308 has it", "dynamics.coupling:Paper"),
)

SCHEMES = _table(
    Entry("euler", "Euler–Maruyama", "escape.engine.stepping.schemes:EulerMaruyama"),
    Entry("euler-binomial", "cheaper increments", "escape.engine.stepping.schemes:BinomialEuler"),
    Entry("heun", "second order, additive noise alone", "escape.engine.stepping.schemes:Heun"),
)

_NETWORK = ("shape", "classes", "key", "norm")

MODELS = _table(
    Entry("mlp", "two hidden layers of 128", "networks.training.models:MLP", _NETWORK),
    Entry(
        "small-resnet",
        "for images of about 8×8",
        "networks.training.models:SmallResNet",
        _NETWORK,
    ),
    Entry("resnet18", "for images of 32×32", "networks.training.models:ResNet18", _NETWORK),
)

_POINTS = "fixed points and their verdicts for the flow and the step"
_BRANCHES = "branches of fixed points over a range of rho, and where they change"
_RATES = "how fast a perturbation grows per step, also under minibatches"
_PAIRS = "the stability of a fixed point over two parameters"
_EDGES = "where in a parameter an exponent, or the fate of a start, changes"
_FAR = "how far noise carries the optimizer from a critical point"
_RUNS = "a grid of training runs, method × rho × momentum × batch size × seeds"

COMMANDS = _table(
    Entry("losses", "list the registered losses", "cli.commands.losses"),
    Entry("stability", _POINTS, "cli.commands.stability"),
    Entry("sweep", _BRANCHES, "cli.commands.sweep"),
    Entry("diagram", _PAIRS, "cli.commands.diagram"),
    Entry("exponents", _RATES, "cli.commands.exponents"),
    Entry("threshold", _EDGES, "cli.commands.threshold"),
    Entry("trajectory", "run one start and say where and how it ends", "cli.commands.trajectory"),
    Entry("basins", "where a grid of starts ends", "cli.commands.basins"),
    Entry("portrait", "phase portraits side by side", "cli.commands.portrait"),
    Entry("explore", "a loss in the browser, to click into", "cli.commands.explore"),
    Entry("escape", "how long until a path leaves a region", "cli.commands.escape"),
    Entry(
        "spread", "how far noise carries the optimizer from a critical point", "cli.commands.spread"
    ),
    Entry("diagnose", "is it a saddle that holds this training run?", "cli.commands.diagnose"),
    Entry("study", _RUNS, "cli.commands.study"),
)

TABLES: Mapping[str, Mapping[str, Entry]] = {
    "method": METHODS,
    "noise": NOISES,
    "coupling": COUPLINGS,
    "scheme": SCHEMES,
    "model": MODELS,
    "command": COMMANDS,
}


def find(kind: str, name: str) -> tuple[Entry, tuple[int, ...]]:
    """The entry that a name stands for, and its number: (3,) of "sam-3", which is "sam-K".

    `InvalidInput` lists what is accepted.
    """
    table = TABLES[kind]
    numbered = re.fullmatch(r"(.+)-([1-9]\d*)", name)
    if numbered and f"{numbered[1]}-K" in table:
        return table[f"{numbered[1]}-K"], (int(numbered[2]),)
    if name in table and not name.endswith("-K"):
        return table[name], ()
    close = difflib.get_close_matches(name.lower(), [n for n in table if not n.endswith("-K")], 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise InvalidInput(f"there is no {kind} {name!r}.{hint} Accepted: {', '.join(table)}.")


def told(kind: str) -> str:
    """Every name with its help, for people."""
    return "; ".join(f"{entry.name}: {entry.help}" for entry in TABLES[kind].values())


def is_path(text: str) -> bool:
    """Whether a text has the form of FILE.py:NAME or MODULE:NAME."""
    return re.fullmatch(r"(.+\.py|\w+(\.\w+)*):[^\W\d]\w*", text) is not None
