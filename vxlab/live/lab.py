"""The live lab: a topology that exists.

    with Lab(topology) as lab:
        assert lab["h1"].ping("10.0.0.2")

A lab is built by applying the topology's plan, and is ready when every link is up and every
service does its work.  Closing it, or the end of the process, takes everything away.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from vxlab import apply, sandbox
from vxlab.apply.site import Backend, Site
from vxlab.describe.topology import Topology
from vxlab.errors import SandboxError, VxlabError
from vxlab.live import arguments
from vxlab.live.captures import Captures
from vxlab.live.history import LabChange
from vxlab.live.node import Node
from vxlab.observe import packetsocket, state
from vxlab.observe.capture import BUFFER, Capture
from vxlab.observe.recorder import Recorder
from vxlab.plan.operations import Operation, StartDaemon, StopDaemon
from vxlab.plan.operations.checks import split
from vxlab.plan.planner import SWITCH_BRIDGE, Plan, make_plan
from vxlab.system.workers import undisturbed

#: Given an operation, returns what is applied in its place, or None for nothing.
Interceptor = Callable[[Operation], Operation | None]


class Lab(Mapping[str, Node]):
    """A live lab, and a mapping from node names to nodes: ``lab["h1"]`` is a :class:`vxlab.Node`.

    ``topology`` is what to build.  ``backend`` applies the plan: ``netlink``, ``iproute2`` or
    ``script`` (:data:`vxlab.apply.BACKENDS`), or an object with the same methods.  With
    ``recorder`` every node keeps its last frames, for reports.  ``history`` has what was done to it
    by operations, ``remarks`` are sentences for reports, such as those of diagnoses.  Use it as a
    context manager, or call :meth:`open` and :meth:`close`.
    """

    def __init__(
        self, topology: Topology, *, backend: Backend | str = "netlink", recorder: bool = False
    ) -> None:
        if not isinstance(topology, Topology):
            raise VxlabError(f"wanted a Topology (call build() on a builder), found {topology!r}")
        self.topology = topology
        self.backend = apply.backend_named(backend) if isinstance(backend, str) else backend
        self.recorders: dict[str, Recorder] = {}
        self.history: list[LabChange] = []
        self.remarks: list[str] = []
        self._record = recorder
        self._deaf = False
        self._site = Site()
        self._nodes: dict[str, Node] = {}
        self._is_open = False
        self._logs = 0  # how many were made
        self._interceptor: Interceptor | None = None
        self._lock = threading.RLock()  # one socket a node, and one buffer a recorder

    @property
    def plan(self) -> Plan:
        """The operations that build this lab."""
        return make_plan(self.topology)

    def open(self) -> Lab:
        """Build the lab and wait until it is ready; nothing is left of it where that fails.

        SandboxError where this process may not make namespaces, ApplyError where an operation is
        refused, WaitTimeout where the links do not come up.
        """
        if self._is_open:
            raise VxlabError(f"lab {self.topology}: wanted to open it, found it open already")
        check_place()
        try:
            self.history.clear()
            self.remarks.clear()
            self._is_open = True
            self._do(self.backend, self.plan, trusted=self._interceptor is None)
            undisturbed(self._site.wait_for_links)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Take the lab away; safe to call twice.

        A visit of the calling thread to one of its nodes ends.
        """
        for namespaces in self._site.namespaces.values():
            namespaces.end_visits()
        undisturbed(self._close, cancellable=False)

    def _close(self) -> None:
        with self._lock, contextlib.ExitStack() as undo:
            undo.callback(self._site.close)
            for recorder in self.recorders.values():
                undo.callback(recorder.close)
            self.recorders.clear()
            self._nodes.clear()
            self._is_open = False

    def __enter__(self) -> Lab:
        was_open = self._is_open
        try:
            return self.open()
        except BaseException:  # also one between the end of open() and here
            if not was_open:
                self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Node:
        if not isinstance(name, str) or name not in self._nodes:
            known = ", ".join(self._nodes) or "none: the lab is not open"
            raise VxlabError(f"lab {self.topology}: wanted the node {name!r}, found {known}")
        return self._nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<Lab {self.topology}: {', '.join(self._nodes) or 'not open'}>"

    def apply(self, *operations: Operation, by: str | None = None) -> None:
        """Change the lab, also in the middle of a test, by the same operations that built it.

        ``operations`` are applied in order (:mod:`vxlab.operations`).  ``by`` names another backend
        than the lab's own (:data:`vxlab.apply.BACKENDS`).  ApplyError for the first operation that
        is refused; what came before it has been done.
        """
        backend = self.backend if by is None else apply.backend_named(by)
        for operation in operations:
            if not isinstance(operation, Operation):
                raise VxlabError(f"lab {self.topology}: wanted operations, found {operation!r}")
        self._do(backend, operations)

    def _do(
        self, backend: Backend, operations: Iterable[Operation], *, trusted: bool = False
    ) -> None:
        """Let ``backend`` apply operations; those that are not ``trusted`` are checked before."""
        pairs = self._intercepted(operations)
        undisturbed(lambda: self._apply(backend, pairs, trusted))

    def _apply(
        self,
        backend: Backend,
        pairs: Sequence[tuple[Operation, Operation | None]],
        trusted: bool,
    ) -> None:
        with self._lock:
            if not self._is_open:
                raise VxlabError(f"lab {self.topology}: wanted to change it, found it not open")
            change = LabChange(pairs=pairs, by=backend.name, builds=not self.history)
            self.history.append(change)
            found = [done for _, done in pairs if done is not None]
            sound, wrong = (found, None) if trusted else split(found)
            try:
                backend.apply(self._site, sound)
                if wrong is not None:
                    raise wrong
            except BaseException as error:
                change.error = f"{type(error).__name__}: {error}"
                raise
            finally:
                self._adopt()

    def intercept(self, interceptor: Interceptor | None) -> None:
        """Call ``interceptor`` with every operation from now on, before it is applied.

        What it returns is applied in the operation's place, nothing for None.  So a control breaks
        a lab on purpose, while it is built or later.  With None for the interceptor that ends.
        """
        self._interceptor = interceptor

    def _intercepted(
        self, operations: Iterable[Operation]
    ) -> list[tuple[Operation, Operation | None]]:
        """Each operation with what is applied in its place: itself, unless intercepted."""
        interceptor = self._interceptor
        return [(each, interceptor(each) if interceptor else each) for each in operations]

    def _adopt(self) -> None:
        """Make nodes of all namespaces that are new."""
        for name, namespaces in self._site.namespaces.items():
            if name not in self._nodes:
                self._nodes[name] = Node(
                    name, namespaces, self._drain, partial(self._new_log, name)
                )
                if self._record:
                    self.recorders[name] = Recorder(namespaces, node=name)

    def _new_log(self, node: str, program: str) -> Path:
        """A path for the output of a program that is started in a node."""
        with self._lock:
            if not self._is_open:
                raise VxlabError(f"{node}: wanted to use the node, found its lab already closed")
            self._logs += 1
            return self._site.folder / f"{node}-{self._logs}-{Path(program).name}.log"

    @property
    def logs(self) -> dict[str, Path]:
        """The files that have what programs and services wrote, by name; there until the end.

        Those are the services of the topology (``router-smcroute.log``), and what
        :meth:`Node.popen <vxlab.Node.popen>` started, in order (``h1-1-python3.log``).
        """
        return {path.name: path for path in sorted(self._site.logs())}

    def _drain(self) -> None:
        """Empty the recorders' queues, which the kernel keeps short."""
        with self._lock:
            for recorder in self.recorders.values():
                recorder.drain()

    def unreached(
        self, pairs: Iterable[tuple[str, str]], timeout: float = 5.0
    ) -> list[tuple[str, str]]:
        """Of ``pairs`` of a node's name and an IP address, those where the node gets no echo reply.

        Many requests at once, one for each pair, ``timeout`` seconds for each, without a program;
        see :func:`vxlab.live.echo.unanswered`.  VxlabError for an unknown node, or no address.
        :meth:`Node.ping <vxlab.live.node.Node.ping>` is the real ping, one at a time.
        """
        from vxlab.live import echo

        asked = arguments.pairs(str(self), pairs, (str, str), "node and address")
        arguments.number(f"{self}: timeout", timeout)
        missing = echo.unanswered(((self[name].namespaces, to) for name, to in asked), timeout)
        self._drain()
        return [asked[number] for number in missing]

    def stop_daemon(self, router: str) -> None:
        """Stop the routing daemon of the router of that name; VxlabError where it has none."""
        self.apply(StopDaemon(router, self._daemon(router).program))

    def start_daemon(self, router: str) -> None:
        """Start the routing daemon of a router again, and wait until it is ready.

        ``router`` is the router's name.  VxlabError where the topology gives it no daemon,
        DaemonError where it does not become ready.
        """
        self.apply(self._daemon(router))

    def _daemon(self, router: str) -> StartDaemon:
        for operation in self.plan:
            if isinstance(operation, StartDaemon) and operation.node == router:
                return operation
        raise VxlabError(f"lab {self.topology}: wanted a daemon on {router!r}, found none planned")

    def capture(
        self, *places: str, ports: Collection[int] | None = None, buffer: int = BUFFER
    ) -> Captures:
        """Captures at several places, live when the block is entered.

            with lab.capture("h1", "h2:eth0") as seen:
                lab["h1"].ping("10.0.0.2")
            assert seen["h2:eth0"].encapsulated()

        Each of ``places`` is a node (its first interface) or ``node:interface``.  The block's value
        is a mapping from place to :class:`vxlab.Capture`.  ``ports`` are the UDP ports on which
        VXLAN is taken apart (None: those of the lab's VTEPs); ``buffer`` is the size of each
        capture's ring in bytes.  VxlabError for an unknown node; entering the block raises
        CaptureError where a capture cannot be started.
        """
        found = tuple(sorted(self.topology.ports)) if ports is None else ports
        arguments.whole_number(f"{self}: buffer", buffer, low=1, high=(1 << 31) - 1)
        captures = {}
        for place in places:
            arguments.text(f"{self}: a place to capture at", place)
            node, _, interface = place.partition(":")
            namespaces = self[node].namespaces
            interface = interface or self.first_interface(node)
            captures[place] = Capture(namespaces, interface, node=node, ports=found, buffer=buffer)
        return Captures(captures, deaf=self._deaf)

    def deafen_captures(self) -> None:
        """Let captures made from now on receive nothing once they have started.

        A control of tests that count on silence: where no frame is seen, they must not pass.
        """
        self._deaf = True

    def stop_recording(self) -> None:
        """Stop the recorders, and wait until their packet sockets are gone.

        Their frames stay, for reports.  For tests about GRO, which does not merge frames that a
        packet socket holds as well.
        """
        with self._lock:
            for recorder in self.recorders.values():
                recorder.close()
        packetsocket.settle()

    def first_interface(self, node: str) -> str:
        """The interface that a capture of ``node`` takes: a container's own, a machine's first."""
        return self.topology.first_devices.get(node, SWITCH_BRIDGE)

    def state(self) -> dict[str, state.NodeState]:
        """A snapshot of every node, by name; see :meth:`Node.state <vxlab.Node.state>`."""
        return {name: node.state for name, node in self._nodes.items()}


def check_place() -> None:
    """SandboxError unless this process may make namespaces, naming what to do."""
    import os

    if os.geteuid() != 0:
        reason = sandbox.why_not() or "run it in the sandbox (pytest does so by itself)"
        raise SandboxError(f"wanted to build a lab, found no right to make namespaces: {reason}")
