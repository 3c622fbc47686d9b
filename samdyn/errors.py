"""The two ways a call can fail, each told in one sentence."""


class InvalidInput(ValueError):
    """The caller gave something that cannot work: says what, where and what would be right."""


class ComputationFailed(RuntimeError):
    """The input was fine but no answer came out: says why (a loss that is NaN, no convergence)."""
