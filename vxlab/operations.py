"""Operations: everything that changes a lab, as plain data (public door).

    lab.apply(AddFdb("a", "vxlan0", "02:00:00:00:00:01", "192.0.2.2"))

They live in :mod:`vxlab.plan.operations`.
"""

from vxlab.plan.operations import *  # noqa: F403 - the door opens on all of it
from vxlab.plan.operations import __all__ as __all__
