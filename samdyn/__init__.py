"""Does sharpness-aware minimization turn the saddle points of a loss into attractors?

The public names are listed in `__init__.pyi`; each is imported when it is first used, so that
`import samdyn` and `samdyn --help` do not wait for JAX.
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
