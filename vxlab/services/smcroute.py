"""smcroute: static multicast routes, for IPv4 and IPv6.

The quickest way to a multicast router: smcrouted reads its routes from a file and needs no
membership reports, no neighbours and no timers.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vxlab.services.base import (
    Helper,
    MulticastRouter,
    RunningService,
    multicast_interfaces,
    service_program,
)
from vxlab.system.namespaces import Namespaces

#: smcrouted reads no more than this of one line of its file (MAX_LINE_LEN in its conf.c).
LONGEST_LINE = 510

#: The families it knows, and their names in ``/proc/sys/net``.
FAMILIES: dict[int, str] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


@dataclass(frozen=True)
class Smcroute(MulticastRouter):
    """smcrouted, routing ``groups`` (of both families) from each interface to all the others."""

    program: ClassVar[str] = "smcrouted"

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = max(map(len, self.config().splitlines()))
        if longest > LONGEST_LINE:
            wanted = f"wanted names that fit into a line of {LONGEST_LINE} bytes together"
            raise self._wrong("interfaces", f"{wanted}, found {longest} bytes: use shorter names")

    def config(self) -> str:
        """The text of its configuration file (smcroute.conf(5))."""
        lines = [f"phyint {name} enable" for name in self.interfaces]
        for group in self.routed:
            for source in self.interfaces:
                others = " ".join(name for name in self.interfaces if name != source)
                lines.append(f"mroute from {source} group {group} to {others}")
        return "\n".join(lines) + "\n"

    @property
    def families(self) -> tuple[int, ...]:
        """AF_INET, AF_INET6 or both: those that its groups belong to."""
        used = {f"ipv{ipaddress.ip_address(group).version}" for group in self.groups}
        return tuple(family for family, name in FAMILIES.items() if name in used)

    def start(
        self, namespaces: Namespaces, name: str, folder: Path, helpers: Sequence[Helper] = ()
    ) -> RunningSmcroute:
        """Launch smcrouted in the node of ``namespaces``, its files called ``name`` in ``folder``.

        It needs no ``helpers``.  MissingProgram, or DaemonError where it can be seen not to work.
        """
        del helpers
        program = service_program(self.program)
        self._check_interfaces(namespaces)
        # It opens both families whatever it routes, and goes on when it gets only one of them.
        for family in FAMILIES.values():
            self._check_alone(namespaces, family)
        config = folder / f"{name}.conf"
        config.write_text(self.config())
        # -N: only the interfaces named; -n: in the foreground; -i: names its control socket
        argv = [program, "-N", "-n", "-l", "info", "-i", name, "-f", str(config)]
        return RunningSmcroute(self, namespaces, argv, f"/run/{name}.pid", folder / f"{name}.log")


class RunningSmcroute(RunningService):
    """A running smcrouted; ready when its pid file and all its multicast interfaces exist.

    ``described`` is the description that it was started from, ``pid_file`` the path, in its node,
    of its pid file; ``namespaces``, ``argv`` and ``log`` are those of
    :class:`~vxlab.services.base.RunningService`.
    """

    awaited = "its pid file and its multicast interfaces"

    def __init__(
        self,
        described: Smcroute,
        namespaces: Namespaces,
        argv: Sequence[str],
        pid_file: str,
        log: Path,
    ) -> None:
        self.described = described
        self._pid_file = pid_file
        super().__init__(described.program, namespaces, [*argv, "-P", pid_file], log)

    def _ready(self) -> bool:
        if not self._wrote_pid(self._pid_file):
            return False
        # It writes the pid file last, so what is missing now stays missing.
        for family in self.described.families:
            there = multicast_interfaces(self.namespaces, family)
            missing = [name for name in self.described.interfaces if name not in there]
            if missing:
                raise self._error(
                    f"wanted all its interfaces in the kernel's multicast table "
                    f"({FAMILIES[family]}), found no {', '.join(missing)}: "
                    f"see whether multicast and {FAMILIES[family]} are enabled on them"
                )
        return True

    def _found(self) -> str:
        return f"no {self._pid_file} with its process number"
