"""The drawers of this package: each module here registers those that it defines."""

from . import markers as markers
from .results import attractor as attractor
from .results import basins as basins
from .results import capture as capture
from .results import diagnosis as diagnosis
from .results import diagram as diagram
from .results import manifolds as manifolds
from .results import orbits as orbits
from .results import rho as rho
from .results import spread as spread
from .results import study as study
from .results import survival as survival
from .results import trajectory as trajectory
