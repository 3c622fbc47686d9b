"""The drawers of this package: each module here registers those that it defines."""

from . import basins as basins
from . import capture as capture
from . import diagnosis as diagnosis
from . import manifolds as manifolds
from . import markers as markers
from . import rho as rho
from . import spread as spread
from . import study as study
from . import survival as survival
from . import trajectory as trajectory
