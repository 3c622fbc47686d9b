"""Does it do what its abstract class asks? One check for each kind of thing that can be added.

    samdyn.testing.check_method(MySAM(0.1))

Each says nothing where all is well, and else raises `InvalidInput` with one sentence about the
first thing that is not. The docstrings of the abstract classes are what is checked.
"""

from .couplings import check_coupling as check_coupling
from .drawers import check_drawer as check_drawer
from .methods import check_method as check_method
from .models import check_model as check_model
from .momenta import check_momentum as check_momentum
from .noises import check_noise as check_noise
from .regions import check_region as check_region
from .schemes import check_scheme as check_scheme
from .systems import check_map as check_map
from .systems import check_ode as check_ode
from .systems import check_sde as check_sde
