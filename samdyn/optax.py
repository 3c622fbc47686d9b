"""What samdyn adds to optax: SAM around any optimizer, and a monitor of its curvature."""

from .networks.monitor import monitor as monitor
from .networks.monitor import readings as readings
from .networks.sam_transform import sam as sam
