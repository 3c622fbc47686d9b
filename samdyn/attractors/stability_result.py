"""What `stability` returns: the fixed points of a system, each with its verdicts."""

import dataclasses
from functools import cached_property
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np

from ..dynamics.systems.ode import AbstractODE
from ..growth.rates import Growth, Rate
from ..results.encoding import storable
from ..results.result import Result
from .finding.point import Completeness, FixedPoint
from .judging.directions import saddle_direction
from .judging.verdict import Verdict
from .report_text import stability_table


@storable
class PointStability(eqx.Module):
    """One fixed point with its verdicts: `flow`, and `step` for a map (None where there is none).

    `critical_rho` is the smallest ρ from which every negative direction is restoring under
    USAM, and lies between `critical_rho_bounds` for sure; `rho_window` the (low, high) radii for
    which the step map contracts everywhere, whose ends lie between those of `rho_window_bounds`,
    and `window_of` what they are radii of: "rho" under USAM, and "rho/gradient_norm" under
    normalised SAM, where ‖g‖ changes along a run. `growth` is that of steps on minibatches.
    """

    point: FixedPoint
    flow: Verdict | None
    step: Verdict | None
    critical_rho: float | None
    rho_window: tuple[float | None, float | None] | None
    window_of: str = "rho"
    critical_rho_bounds: tuple[float, float] | None = None
    rho_window_bounds: tuple[tuple[float, float] | None, tuple[float, float] | None] | None = None
    growth: Growth | None = None

    @property
    def main(self) -> Verdict:
        """The flow's verdict; the step's, where there is no flow."""
        verdict = self.step if self.flow is None else self.flow
        assert verdict is not None
        return verdict

    def verdict_of(self, rate: Rate) -> str:
        """ "attractor" where a rate decays; "repeller" or "saddle" where it grows: which of them,
        only a single direction or the step of the mean loss tells."""
        if rate.sign is None:
            return "unknown"
        if rate.sign < 0:
            return "attractor"
        alone = self.point.w.size == 1 or (self.step and self.step.verdict == "repeller")
        return "repeller" if alone else "saddle"

    def _under_batches(self) -> dict[str, Any]:
        if self.growth is None:
            return {}
        rates = {"mean_square": self.growth.mean_square, "almost_sure": self.growth.almost_sure}
        return {
            name: {**rate.to_dict(), "verdict": self.verdict_of(rate)}
            for name, rate in rates.items()
        }

    def _replace_step(self, step: Verdict) -> "PointStability":
        return dataclasses.replace(self, step=step)

    def to_dict(self) -> dict[str, Any]:
        """One FP of `samdyn stability --json`."""
        point = self.point
        result = {
            "w": point.w.tolist(),
            "loss": _nullable(point.loss),
            "gradient_norm": _nullable(point.gradient_norm),
            "residual": _nullable(point.residual),
            "kind": point.kind,
            "critical_type": point.critical_type,
            "hessian_eigenvalues": None
            if np.any(np.isnan(point.hessian_eigenvalues))
            else point.hessian_eigenvalues.tolist(),
            "flow": None if self.flow is None else _verdict_dict(self.flow, "eigenvalues"),
            "critical_rho": self.critical_rho,
            "critical_rho_bounds": _plain(self.critical_rho_bounds),
            "proven": point.proven,
            "enclosure": None if point.enclosure is None else point.enclosure.tolist(),
        }
        if self.step is not None:
            result["map"] = _verdict_dict(self.step, "multipliers") | self._under_batches()
            result["rho_window"] = None if self.rho_window is None else list(self.rho_window)
            result["rho_window_of"] = self.window_of
            result["rho_window_bounds"] = _plain(self.rho_window_bounds)
        if point.continuum is not None:
            result["continuum"] = point.continuum.tolist()
        return result


class Stability(Result, eqx.Module):
    """What `stability` returns: `points` ordered by coordinates, and the completeness check."""

    computed: ClassVar = ("directions",)

    points: tuple[PointStability, ...]
    complete: Completeness
    flow: AbstractODE
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn stability --json`."""
        result: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        return result | {
            "fixed_points": [point.to_dict() for point in self.points],
            "complete": {
                "checked": self.complete.checked,
                "method": self.complete.method,
                "consistent": self.complete.consistent,
                "proven": self.complete.proven,
                "undecided": [
                    {"box": part.box.tolist(), "why": part.why} for part in self.complete.undecided
                ],
            },
        }

    @property
    def unknown(self) -> bool:
        """Whether a verdict is not known."""
        verdicts = [v for p in self.points for v in (p.flow, p.step) if v is not None]
        return any(v.verdict in ("unknown", "not a fixed map") for v in verdicts)

    @property
    def certain(self) -> bool:
        """Whether every verdict is known, and no point is known, or in an empty list feared, to
        be missing."""
        found = bool(self.points) or self.complete.consistent is True
        return not self.unknown and found and self.complete.consistent is not False

    @cached_property
    def directions(self) -> tuple[np.ndarray | None, ...]:
        """For each point the unit vector (2,) along which it attracts most, if it is a saddle of
        the plane; else, and where that isn't known, None."""
        with jax.enable_x64(True):
            return tuple(_direction(self.flow, item) for item in self.points)

    def __str__(self) -> str:
        return stability_table(self)

    def _table(self) -> list[dict[str, Any]]:
        """One row a point: coordinates, eigenvalues and verdicts, each in a column of its own."""
        return [_row(item) for item in self.points]


def _direction(flow: AbstractODE, item: PointStability) -> np.ndarray | None:
    """Where a saddle in the plane attracts; for the step where that is judged."""
    judged, point = item.main if item.step is None else item.step, item.point
    isolated = point.continuum is None and point.kind != "hallucinated"
    if judged.verdict != "saddle" or not isolated or point.w.size != 2:
        return None
    return None if item.flow is None else saddle_direction(flow, item.flow, point.w)


def _row(item: PointStability) -> dict[str, Any]:
    point = item.point
    row = {f"w[{i}]": float(x) for i, x in enumerate(point.w)}
    row |= {"kind": point.kind, "critical_type": point.critical_type, "loss": point.loss}
    row |= {"gradient_norm": point.gradient_norm}
    if item.flow is not None:
        row |= {"flow": item.flow.verdict}
    if item.step is not None:
        row |= {"step": item.step.verdict, "orbit": item.step.orbit}
    return row | {"critical_rho": item.critical_rho, "why": (item.step or item.main).why}


def _plain(bounds: Any) -> Any:
    """Tuples as lists, however deep."""
    return [_plain(entry) for entry in bounds] if isinstance(bounds, tuple) else bounds


def _nullable(value: float) -> float | None:
    return None if np.isnan(value) else value


def _pairs(values: np.ndarray | None) -> list[list[float]] | None:
    return None if values is None else [[float(z.real), float(z.imag)] for z in values]


def _verdict_dict(verdict: Verdict, values: str) -> dict[str, Any]:
    """A verdict, whose `values` are called "eigenvalues" or "multipliers"."""
    result = {
        "verdict": verdict.verdict,
        values: _pairs(verdict.eigenvalues),
        "why": verdict.why,
        "proven": verdict.proven,
    }
    for name in ("capture_radius", "proven_radius"):
        if (radius := getattr(verdict, name)) is not None:
            result[name] = radius
    if verdict.transverse is not None:
        result |= {"transverse": verdict.transverse, "tangent_dim": verdict.tangent_dim}
    if verdict.orbit is not None:
        result |= {"orbit": verdict.orbit, "amplitude": verdict.amplitude}
        result["period"] = verdict.period
        result["centre"] = None if verdict.centre is None else verdict.centre.tolist()
    return result
