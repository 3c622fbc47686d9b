"""Methods: is w^p where it is declared to be, and what is descended what it is taken for?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics import tree
from ..dynamics.methods.method import AbstractMethod, require_method
from ..dynamics.noise.smoothing import mean_unit_isotropic
from ..dynamics.parameters import has_parameter
from .asking import (
    SURE,
    as_pytree,
    attempt,
    curved,
    points_in,
    require,
    require_compiled,
    require_like,
    require_numbers_vary,
    same,
)

NEAR = 1e-40  # a distance from a critical point whose square is still a normal number
DRAWS, NOISE = 20_000, 0.5


def check_method(method: Any) -> None:
    """`InvalidInput`, one sentence, unless a method is and does what `AbstractMethod` asks."""
    require_method(method)
    with jax.enable_x64(True):
        name = type(method).__name__
        _form(method, name)
        _memory(method, name)
        _without_radius(method, name)
        _ascent(method, name)
        _linear(method, name)
        _limit(method, name)
        direction = lambda m, w: m.direction(jax.grad(curved), w)  # noqa: E731
        require_compiled(
            lambda w: direction(method, w), points_in(4, 2), f"the direction of {name}"
        )
        require_numbers_vary(method, direction, points_in(4, 1)[0])
        _smoothed(method, name)


def _form(method: AbstractMethod, name: str) -> None:
    gradient = jax.grad(curved)
    for dtype in (jnp.float64, jnp.float32):
        v = points_in(4, 1, dtype=dtype)[0]
        for w in (v, as_pytree(v)):
            ahead = attempt(f"perturb of {name}", method.perturb, gradient, w)
            require_like(ahead, w, f"w^p of {name}")
            descended = attempt(f"descend of {name}", method.descend, gradient, w, ahead)
            require_like(descended, w, f"what {name} descends")
        alike = same(method.direction(gradient, as_pytree(v)), method.direction(gradient, v), 1e-5)
        require(alike, f"{name} descends otherwise on a pytree than on an array.")


def _memory(method: AbstractMethod, name: str) -> None:
    gradient = jax.grad(curved)
    for w in (points_in(4, 1)[0], as_pytree(points_in(4, 1, 1)[0])):
        memory = attempt(f"init of {name}", method.init, w)
        if not method.remembers:
            require(
                not jax.tree.leaves(memory),
                f"{name} keeps something between steps but remembers is False: derive it from "
                "AbstractMethodWithMemory.",
            )
        require(
            not method.remembers or bool(jax.tree.leaves(memory)),
            f"{name} remembers is True, but init gives nothing to keep.",
        )
        ahead, after = attempt(f"ascend of {name}", method.ascend, memory, gradient, w)
        require_like(ahead, w, f"w^p of {name}")
        require_like(after, memory, f"what {name} keeps after a step")
        require(
            same(method.perturb(gradient, w), ahead),
            f"perturb of {name} is not its ascend with nothing remembered.",
        )


def _without_radius(method: AbstractMethod, name: str) -> None:
    if method.radius is None or not has_parameter(method, "rho"):
        return
    w, gradient = points_in(4, 1)[0], jax.grad(curved)
    still = method.at_radius(0.0)
    require(same(still.perturb(gradient, w), w), f"w^p of {name} is not w at ρ = 0.")
    require(
        same(still.direction(gradient, w), gradient(w)),
        f"{name} is not gradient descent at ρ = 0.",
    )


def _ascent(method: AbstractMethod, name: str) -> None:
    declared, rho = method.ascent, method.radius
    known = ("none", "gradient", "unit", None)
    require(declared in known, f'ascent of {name} is "none", "gradient", "unit" or None.')
    if declared is None:
        return
    require(
        declared == "none" or rho is not None,
        f"ascent of {name} is {declared!r} but it has no radius ρ.",
    )
    for w in points_in(4, 4, 2):
        for g in (jax.grad(curved)(w), points_in(4, 1, 3)[0], jnp.zeros_like(w)):
            gradient = lambda v, g=g: g + 0.5 * v - 0.5 * w  # noqa: E731, B023
            up = {"none": jnp.zeros_like(g), "gradient": g, "unit": tree.unit(g)}[declared]
            ahead = tree.add_scaled(w, 0.0 if rho is None else rho, up)
            require(
                same(method.perturb(gradient, w), ahead),
                f"w^p of {name} is not what its ascent, {declared!r}, says.",
            )
            require(
                same(method.direction(gradient, w), gradient(ahead)),
                f"{name} declares ascent {declared!r}, but does not descend the gradient at w^p.",
            )


def _linear(method: AbstractMethod, name: str) -> None:
    if not method.linear:
        return
    w, ahead = points_in(4, 2, 4)
    first, second = jax.grad(curved), lambda v: jnp.sin(3 * v)
    both = lambda v: 2 * first(v) - 3 * second(v)  # noqa: E731
    parts = method.descend(first, w, ahead), method.descend(second, w, ahead)
    require(
        same(method.descend(both, w, ahead), 2 * parts[0] - 3 * parts[1]),
        f"descend of {name} is not linear in the gradient: declare differentiates_ascent if it "
        "takes derivatives of w^p, else that it is not linear.",
    )


def _limit(method: AbstractMethod, name: str) -> None:
    """How w^p − w goes to 0 about a critical point, at 0."""
    curvatures = jnp.asarray([2.0, -1.0, 0.5, 3.0])

    def gone(size, u):
        w = size * u
        return np.asarray(method.perturb(lambda v: curvatures * v, w) - w)

    u, v = points_in(4, 2, 5)
    far, near = np.linalg.norm(gone(1.0, u)), [np.linalg.norm(gone(NEAR, x)) for x in (u, v)]
    jumps = max(near) > 1e-6 * far
    require(
        method.discontinuous or not jumps,
        f"w^p − w of {name} does not go to 0 at a critical point: declare discontinuous.",
    )
    if not method.smooth:
        return
    slopes = [gone(NEAR, x) / NEAR for x in (u, v, u + v)]
    scale = max(1e-12, *(np.max(np.abs(slope)) for slope in slopes))
    bent = np.max(np.abs(slopes[0] + slopes[1] - slopes[2])) > 1e-6 * scale
    require(
        not (jumps or bent), f"{name} declares smooth, but has no Jacobian at a critical point."
    )


def _smoothed(method: AbstractMethod, name: str) -> None:
    """The mean of w^p under noise: as declared, against many draws."""
    w, gradient = points_in(2, 1, 6)[0], jax.grad(curved)
    mean_unit = lambda v: mean_unit_isotropic(v, jnp.asarray(NOISE**2))  # noqa: E731
    told: Any = attempt(f"smoothed of {name}", method.smoothed, mean_unit, gradient, w)
    if told is None:
        return
    require_like(told, w, f"smoothed of {name}")
    noise = NOISE * points_in(2, DRAWS, 7)
    drawn = jax.vmap(lambda xi: method.perturb(lambda v: gradient(v) + xi, w))(noise)
    error = np.std(drawn, axis=0) / np.sqrt(DRAWS)
    apart = np.abs(np.mean(drawn, axis=0) - np.asarray(told))
    require(apart <= SURE * error + 1e-12, f"smoothed of {name} is not the mean of w^p.")
