"""What samdyn adds to optax: SAM around any optimizer, and a monitor of its curvature."""

from .networks.training.monitor import monitor as monitor
from .networks.training.monitor import readings as readings
from .networks.training.sam_transform import sam as sam
