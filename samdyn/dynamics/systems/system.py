"""A system says what moves and what it depends on."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx

from ..parameters import parameters, with_parameters


class AbstractSystem(eqx.Module):
    """What every verb takes: an ODE, a map, an SDE or a random map, with all its numbers inside."""

    def parameters(self) -> dict[str, Any]:
        """Its numbers by name: "rho", "learning_rate", "momentum", "batch_size", a key of `args`,
        a field of the loss; by its path, "method.rho", where the name alone is not unique."""
        return parameters(self)

    def at(self, **values: Any) -> Any:
        """The same system with other values of the named numbers; a dotted path in a mapping:
        `at(**{"method.rho": 0.1})`. Arrays are for `jax.vmap` over the result. Nothing recompiles.

        `InvalidInput` for a name that it does not have, or that stands for several.
        """
        return self.with_values(values)

    def at_radius(self, rho: Any) -> Any:
        """The same system with another ρ of its `method`; itself, where there is no such."""
        method = getattr(self, "method", None)
        if method is None:
            return self
        return eqx.tree_at(lambda s: s.method, self, method.at_radius(rho))  # pyright: ignore

    def with_values(self, values: Mapping[str, Any]) -> Any:
        """`at`, of a mapping."""
        return with_parameters(self, values)


def loss_of(system: Any) -> Callable | None:
    """The loss that a system descends; None where there is no such."""
    return getattr(system, "loss", None)
