"""Whether a notebook runs this."""

import sys


def in_notebook() -> bool:
    """Whether the kernel of a notebook runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"
