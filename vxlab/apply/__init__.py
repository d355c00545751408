"""From a plan to a lab, by one of several backends.

``netlink`` sends batches of netlink requests, ``iproute2`` runs the real ``ip`` and ``bridge``, and
``script`` runs the shell script that ``vxlab script`` prints.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.apply.site import Backend

_CLASSES = {"netlink": "NetlinkBackend", "iproute2": "Iproute2Backend", "script": "ScriptBackend"}

#: The names of all backends, the default first.
BACKENDS = tuple(_CLASSES)


def backend_named(name: str) -> Backend:
    """The backend of that name; VxlabError, with the names there are, where there is none."""
    if not isinstance(name, str) or name not in _CLASSES:
        raise VxlabError(f"wanted a backend ({', '.join(BACKENDS)}), found {name!r}")
    module = importlib.import_module(f"vxlab.apply.{name}")
    backend: Backend = getattr(module, _CLASSES[name])()
    return backend
