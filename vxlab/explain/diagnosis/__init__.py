"""From a failed ping to the first broken hop and its likely cause, in words.

    print(diagnose(lab, "kim-srv1", "1.1.1.2"))

All nodes on the way are captured at once while the source pings; the first place that should have
seen the probe and did not is the broken hop.  The cause comes from what is read back there, in
both directions: devices, groups, routes, counters, packet filters.  What cannot be proved is
``unknown``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from vxlab.errors import VxlabError
from vxlab.explain.diagnosis.broken_hop import UNRESOLVED, Finding
from vxlab.explain.diagnosis.causes import CODES, Causes
from vxlab.explain.diagnosis.evidence import look
from vxlab.explain.diagnosis.model import Diagnosis, Step
from vxlab.explain.diagnosis.path import Live, find_ends, way
from vxlab.explain.diagnosis.trace import follow
from vxlab.explain.diagnosis.verdict import broken, reached, steps_of, without_way
from vxlab.live.node import Node
from vxlab.observe import state
from vxlab.observe.capture import Capture

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

__all__ = ["CODES", "Diagnosis", "Step", "diagnose"]

#: Bytes of kernel memory for the capture on each node: some 500 frames, many times what a probe
#: makes.  A large ring takes long to make.
_BUFFER = 1 << 20

#: Seconds between two looks into the captures while the ping runs.
_READ_EVERY = 0.05


def diagnose(
    lab: Lab, source: str, address: str, *, timeout: float = 0.5, size: int | None = None
) -> Diagnosis:
    """Ping ``address`` once from the node ``source``, watch it on its way, and say what happened.

    ``timeout`` is the time in seconds that the answer may take; a diagnosis takes a little more
    than that where there is none.  ``size`` is the ping's payload in bytes, for questions of MTU.
    Neighbour entries of the two ends that are unresolved from earlier tries are deleted, so that
    they ask anew; nothing else is changed.  VxlabError where the source speaks in no segment, or
    where ``address`` or ``timeout`` makes no sense.
    """
    if timeout <= 0:
        raise VxlabError(f"wanted a timeout of some seconds, found {timeout}")
    try:
        wanted = str(ipaddress.ip_address(address))
    except ValueError:
        raise VxlabError(f"wanted the IP address of an endpoint, found {address!r}") from None
    near, far = find_ends(lab, source, wanted)
    words = _ping_words(near, wanted, timeout, size)
    if far is None or far.party.node == source:
        return without_way(lab, near, wanted, _ping(lab[source], words))
    _forget(lab, near, {wanted})
    _forget(lab, far, near.addresses)
    return _watch(lab, near, far, wanted, words)


def _watch(lab: Lab, near: Live, far: Live, wanted: str, words: Sequence[str]) -> Diagnosis:
    """Ping while all nodes on the way are captured, and tell what is seen."""
    source, places = near.party.node, way(lab.topology, near, far)
    nodes = tuple(dict.fromkeys(place.node for place in places))
    families = {ipaddress.ip_address(one).version for one in (wanted, near.nic.ip)}
    before = look(lab, nodes, families)
    captures = {
        name: Capture(lab[name].namespaces, None, node=name, buffer=_BUFFER) for name in nodes
    }
    with contextlib.ExitStack() as stack:
        for capture in captures.values():
            stack.enter_context(capture)
        complaint = _ping(lab[source], words, captures.values())
    frames = {name: capture.frames for name, capture in captures.items()}
    there, back = follow(frames, places, near, far, wanted)
    steps = steps_of((there, back), near.ports | far.ports)
    if complaint is None:
        return reached(lab, there, wanted, steps, frames[source])
    leg, arrived = (back, there.sights[-1]) if there.complete else (there, None)
    gap = Causes(lab, leg, before, look(lab, nodes, families), wanted, arrived)
    doubts = [_doubt(captures[place.node]) for place in (gap.last, gap.missing) if place]
    findings = [Finding("unknown", doubt) for doubt in doubts if doubt] or list(gap.findings())
    return broken(gap, source, findings, steps, complaint)


def _ping_words(near: Live, wanted: str, timeout: float, size: int | None) -> tuple[str, ...]:
    """The ping as a command; from within the VRF where the host itself speaks from one."""
    vrf = near.party.vtep.vrf if near.party.port is None else None
    words = ["ping", "-n", "-c", "1", "-W", f"{timeout:g}", *(("-I", vrf) if vrf else ())]
    return (*words, *(("-s", str(size)) if size is not None else ()), wanted)


def _ping(node: Node, words: Sequence[str], captures: Collection[Capture] = ()) -> str | None:
    """Ping, and read what comes meanwhile; None where it is answered, else ping's complaint."""
    with node.namespaces.quick(words, stdout=subprocess.DEVNULL) as process:
        while True:
            try:
                _, complaint = process.communicate(timeout=_READ_EVERY)
            except subprocess.TimeoutExpired:
                for capture in captures:
                    _ = capture.frames  # so that its ring does not fill up
            else:
                return str(complaint).strip() if process.returncode else None


def _forget(lab: Lab, live: Live, addresses: Collection[str]) -> None:
    """Delete unresolved neighbour entries: they would be asked about only at the next timer."""
    node, device = lab[live.party.node], live.party.interface
    for row in state.neighbours(node.namespaces):
        if row.interface == device and row.address in addresses and row.state in UNRESOLVED:
            node.ask("ip", "neigh", "del", row.address, "dev", device, check=False)


def _doubt(capture: Capture) -> str:
    """Why "not seen" by a capture means nothing, or nothing."""
    if capture.dropped:
        return f"the capture on {capture.node} lost {capture.dropped} frames: try again in quiet"
    return "" if capture.was_live else f"the capture on {capture.node} is {capture.proof}"
