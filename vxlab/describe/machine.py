"""What hosts, routers and containers have in common: devices, routes, rules and settings."""

from __future__ import annotations

import re
from typing import Any

from vxlab.describe import checks
from vxlab.describe.devices import Device
from vxlab.describe.devices.base import as_pairs, as_tuple
from vxlab.describe.routes import StaticRoute
from vxlab.errors import TopologyError

#: Settings of a machine as pairs of a name below ``net`` in dotted form, and what is written to it.
Settings = tuple[tuple[str, str], ...]

_SETTING = re.compile(r"net\.[a-z0-9_]+(\.[A-Za-z0-9_/-]+)+\Z")


def check_machine(machine: Any) -> None:
    """Make tuples of a machine's ``devices``, ``routes``, ``rules`` and ``settings``, and check
    them.

    TopologyError, naming the machine and the field, for what is none of these.
    """
    node = str(machine)
    for field in ("devices", "routes", "rules"):
        object.__setattr__(machine, field, as_tuple(getattr(machine, field)))
    checks.members(node, "devices", machine.devices, Device)
    checks.members(node, "routes", machine.routes, StaticRoute)
    object.__setattr__(machine, "settings", checked_settings(node, machine.settings))


def checked_settings(node: str, found: Any) -> Settings:
    """``found`` as pairs of text; TopologyError of ``node`` for what cannot be a setting."""
    pairs = as_pairs(node, "settings", found)
    for name, value in pairs:
        if not isinstance(name, str) or not _SETTING.match(name) or ".." in name:
            wanted = "wanted a setting below net., such as net.ipv4.ip_forward"
            raise TopologyError(node, "settings", f"{wanted}, found {name!r}")
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if not text or not text.isprintable():
            raise TopologyError(node, "settings", f"wanted a value for {name}, found {value!r}")
    return tuple(
        (str(name), str(int(value)) if isinstance(value, bool) else str(value))
        for name, value in pairs
    )
