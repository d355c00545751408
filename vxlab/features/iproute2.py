"""Probes of the ``ip`` and ``bridge`` in use: which words of theirs do something.

One for each vxlan attribute (``ip.ttl``, ``ip.localbypass``): a device is made by ip in a network
namespace of its own and read back by netlink.  An attribute that the kernel does not know, or never
sends back, counts as sent where ip takes the word, for ip refuses the words of vxlan devices that
it does not know.

``bridge`` ignores many words that it does not know (``fdb flush … dst``, ``mdb add … dst`` in 6.1),
so having run it proves nothing.  There a word is given nonsense for its value: only a version that
knows the word complains of that.

``ip.json`` is another matter: whether what ``ip -j`` prints is JSON.
"""

from __future__ import annotations

import functools
import json
import struct
import subprocess
from collections.abc import Callable, Mapping

from vxlab.apply import batch
from vxlab.apply.iproute2 import refusal
from vxlab.describe import vxlan
from vxlab.describe.vxlan import Attribute, Value
from vxlab.errors import ApplyError, CapabilityError, ProbeError
from vxlab.features.attributes import probe_attributes
from vxlab.features.kernel import scratch
from vxlab.features.model import Check
from vxlab.features.tools import version_in
from vxlab.features.verdicts import said_by, want_answer
from vxlab.netlink import devices
from vxlab.system.namespaces import Namespaces
from vxlab.system.programs import find_program
from vxlab.system.waiting import DEADLINE

HINT = "use a newer iproute2: pytest --iproute2=DIR"

_LOWER, _DEVICE = "lower", "probe"
_NONSENSE = "nonsense"
_MAC = "02:00:00:00:00:01"


def _named(program: str) -> str:
    """A program with the version it says it has, for reasons."""
    done = subprocess.run(
        [find_program(program), "-V"], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    return f"{program} {version_in(done.stdout + done.stderr)}".strip()


def _run(namespaces: Namespaces, program: str, *words: str) -> ApplyError | None:
    """Run one command: None where all is well, or its refusal; ProbeError where it is neither."""
    outcome = batch.run_commands(namespaces, program, [words])
    if outcome.code == 0:
        return None
    want_answer(program, outcome.output, outcome.code)
    return refusal(" ".join([program, *words]), program, outcome)


def _said(error: ApplyError) -> str:
    return str(error).removeprefix(f"{error.operation}: ")


def _unknown(program: str, error: ApplyError) -> CapabilityError:
    return CapabilityError(f"{_named(program)} said: {_said(error)}")


def _by_kernel(error: ApplyError) -> bool:
    return bool(error.errno or error.extack)


# --- attributes of vxlan devices -------------------------------------------------------------


def _attempt(attribute: Attribute) -> str:
    """Make the same device by ip and by netlink: the kernel must have the same of both."""
    wanted = probe_attributes(attribute)
    words = [word for name, value in wanted.items() for word in vxlan.words(name, value)]
    with scratch() as namespaces:
        devices.add_link(namespaces, "veth", name=_LOWER)
        line = ["link", "add", _DEVICE, "type", "vxlan", *words]
        error = _run(namespaces, "ip", *line)
        if error is not None and not _by_kernel(error):
            raise _unknown("ip", error)
        index = 0 if error else devices.index_of(namespaces, _DEVICE)
        found = devices.kind_attributes(namespaces, index).get(attribute.number)
    if not error and found != _by_netlink(attribute, wanted):
        raise CapabilityError(
            f"{_named('ip')} took {' '.join(words)}, and made a device with another value"
        )
    return ""


def _by_netlink(attribute: Attribute, wanted: Mapping[str, Value]) -> bytes | None:
    """What the kernel tells of an attribute that it was sent; None for one it never tells of."""
    with scratch() as namespaces:
        lower = devices.add_link(namespaces, "veth", name=_LOWER)
        encoded = (vxlan.encode(name, value, lambda _: lower) for name, value in wanted.items())
        index = devices.add_link(namespaces, "vxlan", [pair for pair in encoded if pair])
        return devices.kind_attributes(namespaces, index).get(attribute.number)


def check_of(attribute: Attribute) -> Check:
    """The probe of one attribute."""
    title = f"ip sets the attribute {attribute.name} of a vxlan device"
    return Check(
        name=f"ip.{attribute.name}",
        title=title,
        attempt=functools.partial(_attempt, attribute),
        hint=HINT,
    )


# --- words -----------------------------------------------------------------------------------


def _minds(*words: str) -> Callable[[], str]:
    """Probe of bridge: whether it complains of the nonsense that ends these words."""

    def attempt() -> str:
        with scratch() as namespaces:
            devices.add_link(namespaces, "veth", name=_LOWER)
            error = _run(namespaces, "bridge", *words, _NONSENSE)
        if error is None or _by_kernel(error):
            raise CapabilityError(f"{_named('bridge')} took no notice of the word {words[-1]}")
        if _NONSENSE not in _said(error):
            raise _unknown("bridge", error)
        return ""

    return attempt


def _takes(*words: str) -> Callable[[], str]:
    """Probe of ip: whether it accepts these words, even where the kernel refuses them."""

    def attempt() -> str:
        with scratch() as namespaces:
            devices.add_link(namespaces, "veth", name=_LOWER)
            error = _run(namespaces, "ip", *words)
        if error is not None and not _by_kernel(error):
            raise _unknown("ip", error)
        return ""

    return attempt


_FDB = ("fdb", "add", _MAC, "dev", _LOWER)
_GROUP = ("dev", _LOWER, "port", _LOWER, "grp", "233.252.0.1")
_NEIGHBOUR = ("neigh", "add", "192.0.2.9", "dev", _LOWER)

# --- what it prints --------------------------------------------------------------------------


def _json() -> str:
    """Whether what ip prints of a vxlan device as JSON can be read by anybody."""
    with scratch() as namespaces:
        devices.add_link(namespaces, "vxlan", [(1, struct.pack("=I", 5))], name=_DEVICE)
        argv = ("ip", "-j", "-d", "link", "show", _DEVICE)
        with namespaces.popen(argv, stderr=subprocess.DEVNULL) as process:
            said, code = said_by(process)
    want_answer("ip", said, code)
    if code:
        raise ProbeError(f"`{' '.join(argv)}` ended with {code}", "run it again")
    try:
        json.loads(said)
    except json.JSONDecodeError as error:
        part = said[max(error.pos - 20, 0) : error.pos + 20]
        raise CapabilityError(f"{_named('ip')} prints broken JSON: …{part}…") from None
    return ""


#: All probes of iproute2.
CHECKS: tuple[Check, ...] = (
    Check(
        name="ip.json",
        title="ip prints vxlan devices as sound JSON",
        attempt=_json,
        hint="vxlab mends that for itself; for other programs use another iproute2",
    ),
    *map(check_of, vxlan.ATTRIBUTES),
    Check(
        name="ip.nexthop_fdb",
        title="ip sets next hops of forwarding entries",
        attempt=_takes("nexthop", "add", "id", "5", "via", "192.0.2.1", "fdb"),
        hint=HINT,
    ),
    Check(
        name="ip.neigh_managed",
        title="ip sets the flag managed of a neighbour",
        attempt=_takes(*_NEIGHBOUR, "managed"),
        hint=HINT,
    ),
    Check(
        name="bridge.vni",
        title="bridge sets the VNIs of a device with vnifilter",
        attempt=_minds("vni"),
        hint=HINT,
    ),
    Check(
        name="bridge.mdb",
        title="bridge sets the groups of a vxlan device",
        attempt=_minds("mdb", "add", *_GROUP, "dst"),
        hint=HINT,
    ),
    Check(
        name="bridge.mdb_flush",
        title="bridge flushes the groups of a vxlan device",
        attempt=_minds("mdb", "flush", "dev"),
        hint=HINT,
    ),
    Check(
        name="bridge.fdb_get",
        title="bridge gets one forwarding entry",
        attempt=_minds("fdb", "get", _MAC, "dev"),
        hint=HINT,
    ),
    Check(
        name="bridge.fdb_flush",
        title="bridge flushes forwarding entries by state and flag",
        attempt=_minds("fdb", "flush", "dev"),
        hint=HINT,
    ),
    Check(
        name="bridge.fdb_flush_dst",
        title="bridge flushes forwarding entries by dst, vni, port and nhid",
        attempt=_minds("fdb", "flush", "dev", _LOWER, "dst"),
        hint=HINT,
    ),
    Check(
        name="bridge.src_vni",
        title="bridge sets the source VNI of a forwarding entry",
        attempt=_minds(*_FDB, "dst", "192.0.2.1", "src_vni"),
        hint=HINT,
    ),
    Check(
        name="bridge.nhid",
        title="bridge sets the next hop of a forwarding entry",
        attempt=_minds(*_FDB, "nhid"),
        hint=HINT,
    ),
    Check(
        name="bridge.neigh_vlan_suppress",
        title="bridge suppresses ARP and ND on a port by VLAN",
        attempt=_minds("link", "set", "dev", _LOWER, "neigh_vlan_suppress"),
        hint=HINT,
    ),
)
