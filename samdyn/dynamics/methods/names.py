"""Methods by the names that the command line uses."""

import difflib
import re

from ...errors import InvalidInput
from .asam import ASAM
from .friendly import FriendlySAM
from .gd import GD
from .method import AbstractMethod
from .multi_step import MultiStep
from .perturbed_loss import PerturbedLossGradient
from .sam import SAM
from .usam import USAM
from .wsam import WSAM

_BY_NAME = {
    "gd": lambda rho: GD(),
    "sam": SAM,
    "usam": USAM,
    "asam": ASAM,
    "samgrad": lambda rho: PerturbedLossGradient(USAM(rho)),
    "wsam": WSAM,
    "fsam": FriendlySAM,
}

METHODS = (*_BY_NAME, "sam-K", "usam-K")


def named_method(name: str, rho: float) -> AbstractMethod:
    """The method called `name` with radius `rho`; `sam-3` takes three ascents of ρ/3."""
    multi = re.fullmatch(r"(sam|usam)-(\d+)", name)
    if multi and int(multi[2]) > 0:
        return MultiStep(_BY_NAME[multi[1]](rho), int(multi[2]))
    if name not in _BY_NAME:
        close = difflib.get_close_matches(name.lower(), _BY_NAME, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InvalidInput(f"there is no method {name!r}.{hint} Accepted: {', '.join(METHODS)}.")
    return _BY_NAME[name](rho)
