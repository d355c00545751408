"""Shell scripts that stand alone: what one attaches to a kernel bug report.

:func:`script_of` writes a topology as a POSIX shell script that needs iproute2 and no Python, and
does all its work in namespaces of its own.  :class:`ScriptBackend` builds labs by the same lines.
"""

from __future__ import annotations

from vxlab.apply.script.backend import ScriptBackend
from vxlab.apply.script.pings import PingLine, pings_of
from vxlab.apply.script.text import file_name, script_of

__all__ = ["PingLine", "ScriptBackend", "file_name", "pings_of", "script_of"]
