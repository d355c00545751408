"""What all services have in common: finding the program, starting, awaiting and stopping it.

A service is a program that runs in a node.  It is *described* by a frozen dataclass of plain data
(:class:`Service`), which may be kept, printed, compared, and started any number of times.  Starting
it gives a :class:`RunningService`: ``start`` launches the process and returns at once,
``wait_ready`` waits for the service's own evidence that it does its work, ``stop`` ends it and
waits for that.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from vxlab.errors import DaemonError, MissingProgram, TopologyError, WaitTimeout
from vxlab.system.namespaces import Namespaces
from vxlab.system.programs import PACKAGES, find_program
from vxlab.system.waiting import DEADLINE, wait_until

#: Where a set-up for the whole machine unpacks services that cannot be installed side by side.
SYSTEM_TOOLS = Path("/var/cache/vxlab/tools")

#: Seconds a service has to end after SIGTERM, before SIGKILL.
STOP_DEADLINE = 2.0

#: Multicast interfaces of one network namespace (MAXVIFS, linux/mroute.h), less the one that pimd
#: takes for itself.
MAX_INTERFACES = 31

#: No router forwards these, whatever its configuration: RFC 5771 section 4, RFC 4291 section 2.7.
LOCAL_GROUPS = tuple(map(ipaddress.ip_network, ("224.0.0.0/24", "ff01::/16", "ff02::/16")))


def service_program(name: str) -> str:
    """The absolute path of a service's program; MissingProgram, naming its package, if none.

    Searched in this order: the folder ``$VXLAB_TOOLS``, PATH and the system's folders, then the
    caches of unpacked packages, ``vxlab/tools/PACKAGE/usr/sbin`` below ``$XDG_CACHE_HOME`` (or
    ``~/.cache``) and below ``/var/cache``.  So a program that you have built comes before those.
    """
    package = PACKAGES.get(name, name)
    chosen = os.environ.get("VXLAB_TOOLS", "")
    first = (chosen, f"{chosen}/{package}/usr/sbin") if chosen else ()
    with contextlib.suppress(MissingProgram):
        return find_program(name, extra=first)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    last = (f"{cache}/vxlab/tools", str(SYSTEM_TOOLS))
    found = shutil.which(name, path=os.pathsep.join(f"{at}/{package}/usr/sbin" for at in last))
    if found is None:
        raise MissingProgram(name, package)
    return found


@dataclass(frozen=True)
class Helper:
    """A host on a router's subnet, from which a message is sent that lets a service start sooner.

    ``namespaces`` are the host's, ``address`` is its own IP address there, ``router`` the router's
    address on that subnet.
    """

    namespaces: Namespaces
    address: str
    router: str


class Service(Protocol):
    """The description of a service: plain data, until it is started."""

    @property
    def program(self) -> str:
        """The name of the program that is run."""

    def start(
        self, namespaces: Namespaces, name: str, folder: Path, helpers: Sequence[Helper] = ()
    ) -> RunningService:
        """Write the configuration and launch the process; does not wait for it.

        ``namespaces`` are those of the node that it runs in.  ``name`` is the name of its files in
        ``folder``, which must exist, and not be below ``/run``: each node has a ``/run`` of its
        own.  ``helpers`` are hosts on the node's subnets, for services that need one to start.
        Raises MissingProgram, or DaemonError where the service can be seen not to work.
        """


class RunningService(ABC):
    """A service that was started: await it, ask for its state, stop it.

    ``program`` is its name and ``argv`` its command line; it is launched in the node of
    ``namespaces``; ``log`` is the file that gets its output.  Stop it, also where it never became
    ready.
    """

    #: What makes this service ready, for messages.
    awaited: ClassVar[str] = "it to be ready"

    def __init__(
        self, program: str, namespaces: Namespaces, argv: Sequence[str], log: Path
    ) -> None:
        self.title = f"{program} in {namespaces.name}"
        self.namespaces = namespaces
        self.log = log
        self._is_ready = False
        with log.open("w") as output:
            self._process: subprocess.Popen[Any] = namespaces.popen(
                argv, stdout=output, stderr=subprocess.STDOUT
            )

    @abstractmethod
    def _ready(self) -> bool:
        """Look at the service's evidence once, without waiting for it to change."""

    def _found(self) -> str:
        """What the evidence was, when it was last looked at."""
        return "nothing of it"

    @property
    def pid(self) -> int:
        """The process number of the service, as seen from outside its node."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """All that the service wrote so far, to stdout and stderr."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def poll(self) -> bool:
        """True once the service is ready; never waits long.  DaemonError when it has ended."""
        ready = self.alive and (self._is_ready or self._ready())
        if not self.alive:  # looked at last: what it left behind is no evidence
            code = self._process.returncode
            raise self._error(f"wanted {self.awaited}, found that it had ended with {code}")
        self._is_ready = ready
        return ready

    def wait_ready(self, timeout: float = DEADLINE) -> None:
        """Wait until the service does its work.

        DaemonError, with the service's output, as soon as it ends, or after ``timeout`` seconds.
        """
        wait_all_ready([self], timeout)

    def stop(self, timeout: float = STOP_DEADLINE) -> None:
        """End the service and wait for its end: SIGTERM, after ``timeout`` seconds SIGKILL.

        Does nothing where it has ended already.
        """
        try:
            wait_until(self._terminate, f"{self.title} to end", timeout=timeout)
        except WaitTimeout:
            self._process.kill()
            self._process.wait()

    def _terminate(self) -> bool:
        """Ask the service to end and wait a moment; true when it has.

        Asked again and again: routing daemons look for a signal and then wait for packets, and one
        that comes in between is overlooked until the next packet.
        """
        if self.alive:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
        return not self.alive

    def _error(self, reason: str) -> DaemonError:
        """A DaemonError about this service, with the end of its output."""
        said = "\n".join(self.output().splitlines()[-20:]) or "(nothing)"
        return DaemonError(f"start {self.title}", f"{reason}; its output: {said}")

    def _read(self, path: str) -> str:
        """A file as the service's node sees it, or "" where there is none (yet)."""

        def job() -> str:
            with contextlib.suppress(FileNotFoundError):
                return Path(path).read_text(errors="replace")
            return ""

        return self.namespaces.in_mounts(job)

    def _wrote_pid(self, path: str) -> bool:
        """True once the node's file ``path`` holds this service's process number.

        Which is its number within the node, the last of ``NSpid`` (proc(5), ``/proc/PID/status``).
        """
        written = self._read(path).split()
        status = Path(f"/proc/{self.pid}/status").read_text()
        numbers = [line.split() for line in status.splitlines() if line.startswith("NSpid:")]
        return bool(written and numbers) and written[0] == numbers[0][-1]


def wait_all_ready(services: Iterable[RunningService], timeout: float = DEADLINE) -> None:
    """Wait for several services together, ``timeout`` seconds in all; raises as ``wait_ready``."""
    waiting = list(services)

    def settled() -> bool:
        waiting[:] = [service for service in waiting if not service.poll()]
        return not waiting

    try:
        wait_until(settled, "all services to be ready", timeout=timeout)
    except WaitTimeout as error:
        late = waiting[0]
        reason = f"waited {timeout:g} s for {late.awaited}, found {late._found()}"
        raise late._error(reason) from error


@dataclass(frozen=True)
class MulticastRouter:
    """What all multicast routing daemons are configured with.

    ``interfaces`` are the router's devices to route between, 2 to 31; ``groups`` the multicast
    addresses.  Groups of link scope are allowed and left alone, as no router forwards them.
    TopologyError where a value makes no sense.
    """

    interfaces: Sequence[str]
    groups: Sequence[str]

    program: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "interfaces", tuple(dict.fromkeys(self.interfaces)))
        object.__setattr__(self, "groups", tuple(dict.fromkeys(self.groups)))
        if not 2 <= len(self.interfaces) <= MAX_INTERFACES:
            wanted = f"wanted 2 to {MAX_INTERFACES} to route between"
            raise self._wrong("interfaces", f"{wanted}, found {len(self.interfaces)}")
        for group in self.groups:
            try:
                multicast = ipaddress.ip_address(group).is_multicast
            except ValueError:
                multicast = False
            if not multicast:
                raise self._wrong("groups", f"wanted multicast addresses, found {group!r}")

    def _wrong(self, field: str, problem: str) -> TopologyError:
        return TopologyError(self.program, field, problem)

    def _refused(self, namespaces: Namespaces, reason: str) -> DaemonError:
        return DaemonError(f"start {self.program} in {namespaces.name}", reason)

    @property
    def routed(self) -> tuple[str, ...]:
        """The groups that a router forwards at all: those not of link scope."""

        def local(group: str) -> bool:
            return any(ipaddress.ip_address(group) in network for network in LOCAL_GROUPS)

        return tuple(group for group in self.groups if not local(group))

    def _check_interfaces(self, namespaces: Namespaces) -> None:
        """DaemonError where an interface is missing; the daemons would only warn of it."""
        there = [name for _, name in namespaces.visit(socket.if_nameindex)]
        missing = [name for name in self.interfaces if name not in there]
        if missing:
            wanted = ", ".join(missing)
            found = ", ".join(there)
            advice = "create the interfaces before the daemon is started"
            raise self._refused(
                namespaces, f"wanted the interface {wanted}, found only {found}: {advice}"
            )

    def _check_alone(self, namespaces: Namespaces, family: str) -> None:
        """DaemonError where another daemon routes multicast in this namespace already.

        The kernel counts such daemons in ``all/mc_forwarding`` (ip-sysctl in its documentation).
        """
        with contextlib.suppress(FileNotFoundError):  # a kernel without this family
            if namespaces.read(f"/proc/sys/net/{family}/conf/all/mc_forwarding").strip() != "0":
                raise self._refused(
                    namespaces,
                    "wanted to be the only multicast router of the namespace, found another one "
                    f"running (net.{family}.conf.all.mc_forwarding is set): stop that one first",
                )


def multicast_interfaces(namespaces: Namespaces, family: int) -> set[str]:
    """The interfaces that the kernel routes multicast between, for AF_INET or AF_INET6."""
    table = "ip_mr_vif" if family == socket.AF_INET else "ip6_mr_vif"
    try:
        lines = namespaces.read(f"/proc/thread-self/net/{table}").splitlines()
    except FileNotFoundError:  # a kernel without multicast routing for this family
        return set()
    return {line.split()[1] for line in lines[1:]}
