"""The noise of an SDE as diffrax takes it."""

import diffrax
import jax


class NoiseTerm(diffrax.ControlTerm):
    """A `ControlTerm` that multiplies σ(y) with an increment without forming σ."""

    def vf_prod(self, t, y, args, control):
        return self.vector_field.disperse(y, control)  # pyright: ignore

    def prod(self, vf, control):
        return jax.tree.map(lambda columns: columns @ control, vf)
