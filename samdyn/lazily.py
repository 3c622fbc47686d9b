"""Libraries that few answers need, imported when something of them is first used.

diffrax and optax take longer to import than a verdict takes to compute. Modules that name them in
annotations alone write those as text.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import diffrax
    import optax
else:
    import lazy_loader

    diffrax = lazy_loader.load("diffrax")
    optax = lazy_loader.load("optax")

__all__ = ["diffrax", "optax"]
