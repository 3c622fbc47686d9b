"""The x² − y² demo of the public code of arXiv 2301.06308, with true SAM and as it is written."""

import pathlib

import jax.numpy as jnp
import numpy as np

import samdyn


class SummedGradient(samdyn.AbstractMethod):
    """The step of the public demo, which does not clear the first gradient: g(w) + g(w^p)."""

    base: samdyn.SAM

    def perturb(self, gradient, w):
        return self.base.perturb(gradient, w)

    def descend(self, gradient, w, ahead):
        return gradient(w) + gradient(ahead)

    @property
    def discontinuous(self):
        return True

    @property
    def radius(self):
        return self.base.radius


LOSS, START = samdyn.get_loss("saddle"), (-3.0, -0.01)
LEARNING_RATE, STEPS, BOX = 0.01, 500, [(-3.2, 3.2), (-3.2, 3.2)]


def saddle_surface(folder: pathlib.Path) -> dict:
    """x² − y² from (−3, −0.01): true SAM is caught at the saddle, and so is the public demo."""
    summed = SummedGradient(samdyn.SAM(0.5))
    numbers = {}
    for name, words, label, method in (
        ("saddle_surface", "true SAM", "SAM", samdyn.SAM(0.5)),
        ("saddle_surface_public_code", "the public code's g(w) + g(wᵖ)", "public code", summed),
    ):
        runs = {"GD": _run(samdyn.GD()), label: _run(method)}
        paths = {key: np.asarray(run.checkpoints) for key, run in runs.items()}
        title = f"x² − y², η = 0.01, ρ = 0.5, 500 steps: {words}"
        samdyn.save(samdyn.surface(LOSS, BOX, paths, title=title), folder / f"{name}.png")
        for key, run in runs.items():
            x, y = np.abs(np.asarray(run.tail)[-2:]).T
            numbers[f"{name}, {key}"] = {"final mean |x|": x.mean(), "final |y|": y[-1]}
    return numbers


def _run(method: samdyn.AbstractMethod) -> samdyn.Run:
    step_map = samdyn.StepMap(LOSS, method, LEARNING_RATE)
    return samdyn.iterate(step_map, jnp.array(START), STEPS, at_steps=range(STEPS + 1))
