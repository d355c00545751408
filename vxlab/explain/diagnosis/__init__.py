"""From a failed ping to the first broken hop and its likely cause, in words.

    print(diagnose(lab, "kim-srv1", "1.1.1.2"))

All nodes of the path are captured at once while the source pings; the first observation point
that should have seen the packet and did not ends the broken hop.  The cause comes from what is
read back there, in both directions: devices, groups, routes, counters, packet filters.  What
cannot be proved is ``unknown``.

The words, each with the module that defines it:

endpoint
    who pings or is pinged: a container behind a bridge, or a host whose vxlan device has the
    address itself (``endpoints``)
observation point
    an interface, and whether the packet leaves or enters the node by it (``path``)
path
    the ordered observation points that a packet must pass from one endpoint to the other
    (``path``)
message
    what a frame says in ARP, neighbour discovery or echo (:mod:`vxlab.observe.protocols`)
observation
    a message as one observation point saw it, taken out of its tunnel (``trace``)
trace
    what each point of a path observed of one message, there or back (``trace``)
hop
    from one observation point to the next, named by that next one (``model``)
broken hop
    from the last point that saw the packet to the first that did not (``broken_hop``)
evidence
    what the nodes of the path had counted before the ping and after it (``evidence``)
cause
    why the packet was lost, proven by evidence; each kind of hop has a list of them in the order
    of the kernel's checks (``causes``)
verdict
    the first proven cause, and the diagnosis in words that is made of it (``verdict``)
"""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from vxlab.errors import VxlabError
from vxlab.explain.diagnosis.broken_hop import UNRESOLVED
from vxlab.explain.diagnosis.causes import Causes
from vxlab.explain.diagnosis.endpoints import EndpointState, find_endpoints
from vxlab.explain.diagnosis.evidence import read_evidence
from vxlab.explain.diagnosis.model import CODES, Cause, Diagnosis, Hop
from vxlab.explain.diagnosis.path import find_path
from vxlab.explain.diagnosis.trace import trace_ping
from vxlab.explain.diagnosis.verdict import answered, hops_of, not_answered, without_path
from vxlab.live.node import Node
from vxlab.observe import state
from vxlab.observe.capture import Capture

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

__all__ = ["CODES", "Diagnosis", "Hop", "diagnose"]

#: Bytes of kernel memory for the capture on each node: some 500 frames, many times what a ping
#: makes.  A large ring takes long to make.
_CAPTURE_BUFFER = 1 << 20

#: Seconds between two readings of the captures while the ping runs.
_READ_EVERY = 0.05


def diagnose(
    lab: Lab, source: str, address: str, *, timeout: float = 0.5, size: int | None = None
) -> Diagnosis:
    """Ping ``address`` once from the node ``source``, capture all of its path, say what happened.

    ``timeout`` is the time in seconds that the answer may take; a diagnosis takes a little more
    than that where there is none.  ``size`` is the ping's payload in bytes, for questions of MTU.
    Neighbour entries of the two endpoints that are unresolved from earlier tries are deleted, so
    that they ask anew; nothing else is changed.  What is found goes among the lab's ``remarks``,
    and so into the evidence of a failed test.  VxlabError where the source is an endpoint of no
    segment, or where ``address`` or ``timeout`` makes no sense.
    """
    found = _diagnose(lab, source, address, timeout, size)
    lab.remarks.append(str(found))
    return found


def _diagnose(lab: Lab, source: str, address: str, timeout: float, size: int | None) -> Diagnosis:
    if timeout <= 0:
        raise VxlabError(f"wanted a timeout of some seconds, found {timeout}")
    try:
        pinged = str(ipaddress.ip_address(address))
    except ValueError:
        raise VxlabError(f"wanted the IP address of an endpoint, found {address!r}") from None
    near, far = find_endpoints(lab, source, pinged)
    command = _ping_command(near, pinged, timeout, size)
    if far is None or far.endpoint.node == source:
        return without_path(lab, near, pinged, _ping(lab[source], command))
    _delete_unresolved(lab, near, {pinged})
    _delete_unresolved(lab, far, near.addresses)
    return _diagnose_path(lab, (near, far), pinged, command)


def _diagnose_path(
    lab: Lab, ends: tuple[EndpointState, EndpointState], address: str, command: Sequence[str]
) -> Diagnosis:
    """Ping while all nodes of the path are captured, and tell what was seen."""
    source, target = ends
    node, path = source.endpoint.node, find_path(lab.topology, source, target)
    nodes = tuple(dict.fromkeys(point.node for point in path))
    families = {ipaddress.ip_address(one).version for one in (address, source.nic.ip)}
    before = read_evidence(lab, nodes, families)
    captures, ping_error = _captured_ping(lab, nodes, node, command)
    frames = {name: capture.frames for name, capture in captures.items()}
    there, back = trace_ping(frames, path, source, target, address)
    hops = hops_of((there, back), source.udp_ports | target.udp_ports)
    if ping_error is None:
        return answered(lab, there, address, hops, frames[node])
    after = read_evidence(lab, nodes, families)
    broken_hop = Causes(lab=lab, traces=(there, back), before=before, after=after, address=address)
    causes = _unproven_silence(broken_hop, captures) or list(broken_hop.proven())
    return not_answered(broken_hop, node, causes, hops, ping_error)


def _captured_ping(
    lab: Lab, nodes: Collection[str], source: str, command: Sequence[str]
) -> tuple[dict[str, Capture], str | None]:
    """Ping from ``source`` with a capture on each of the ``nodes``; the captures, and any error."""
    captures = {
        name: Capture(lab[name].namespaces, None, node=name, buffer=_CAPTURE_BUFFER)
        for name in nodes
    }
    with contextlib.ExitStack() as stack:
        for capture in captures.values():
            stack.enter_context(capture)
        return captures, _ping(lab[source], command, captures.values())


def _ping_command(
    source: EndpointState, address: str, timeout: float, size: int | None
) -> tuple[str, ...]:
    """The ping as a command; from within the VRF where a host itself is the endpoint, in one."""
    vrf = source.endpoint.vtep.vrf if source.endpoint.bridge_port is None else None
    words = ["ping", "-n", "-c", "1", "-W", f"{timeout:g}", *(("-I", vrf) if vrf else ())]
    return (*words, *(("-s", str(size)) if size is not None else ()), address)


def _ping(node: Node, command: Sequence[str], captures: Collection[Capture] = ()) -> str | None:
    """Ping, and read the captures meanwhile; None where it is answered, else what ping says."""
    with node.namespaces.quick(command, stdout=subprocess.DEVNULL) as process:
        while True:
            try:
                _, errors = process.communicate(timeout=_READ_EVERY)
            except subprocess.TimeoutExpired:
                for capture in captures:
                    _ = capture.frames  # so that its ring does not fill up
            else:
                return str(errors).strip() if process.returncode else None


def _delete_unresolved(lab: Lab, end: EndpointState, addresses: Collection[str]) -> None:
    """Delete unresolved neighbour entries: they would be asked about only at the next timer."""
    node, device = lab[end.endpoint.node], end.endpoint.interface
    for row in state.neighbours(node.namespaces):
        if row.interface == device and row.address in addresses and row.state in UNRESOLVED:
            node.ask("ip", "neigh", "del", row.address, "dev", device, check=False)


def _unproven_silence(broken_hop: Causes, captures: Mapping[str, Capture]) -> list[Cause]:
    """An unknown cause for each capture at the broken hop whose silence proves nothing."""
    points = (broken_hop.last, broken_hop.missing)
    problems = (_problem(captures[point.node]) for point in points if point)
    return [Cause("unknown", problem) for problem in problems if problem]


def _problem(capture: Capture) -> str:
    """Why it means nothing that a capture has not seen a frame, '' where it does."""
    if capture.dropped:
        return f"the capture on {capture.node} lost {capture.dropped} frames: try again in quiet"
    return "" if capture.was_live else f"the capture on {capture.node} is {capture.proof}"
