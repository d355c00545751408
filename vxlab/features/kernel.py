"""Probes of the kernel: devices, multicast routing, packet filters, user namespaces.

Each tries the thing itself in a network namespace of its own, which ends with the probe.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

from vxlab.apply.encoding import encode
from vxlab.describe.devices import PORT
from vxlab.errors import CapabilityError, ProbeError, SandboxError
from vxlab.features.model import ANOTHER_KERNEL, IN_A_MACHINE, Check
from vxlab.features.verdicts import SHORT, kernel_said, said_by, want_answer
from vxlab.netlink import devices
from vxlab.netlink.messages import IFLA_VRF_TABLE, NLM_F_NEW, Request, attribute
from vxlab.plan.operations import AddMdb
from vxlab.system.namespaces import Namespaces
from vxlab.system.programs import find_program
from vxlab.system.syscalls import CLONE_NEWNET, CLONE_NEWUSER, lo_up
from vxlab.system.waiting import DEADLINE

IFLA_VXLAN_ID = 1  # linux/if_link.h, as are the next four
IFLA_GRO_MAX_SIZE = 58
IFLA_BR_VLAN_FILTERING = 7
IFLA_VLAN_ID = 1
IFLA_MACVLAN_MODE = 1
MACVLAN_MODE_BRIDGE = 4
RTM_NEWQDISC, TCA_KIND, TCA_OPTIONS = 36, 1, 2  # linux/rtnetlink.h
TC_H_ROOT = 0xFFFFFFFF  # linux/pkt_sched.h
LOOPBACK_INDEX = 1  # of `lo` in every network namespace (LOOPBACK_IFINDEX, net/flow.h)

MRT_INIT, MRT_PIM = 200, 208  # linux/mroute.h; linux/mroute6.h has the same numbers
MRT_SOCKETS = {
    4: (socket.AF_INET, socket.IPPROTO_IGMP, socket.IPPROTO_IP),
    6: (socket.AF_INET6, socket.IPPROTO_ICMPV6, socket.IPPROTO_IPV6),
}


def scratch() -> Namespaces:
    """Namespaces for a probe alone; SandboxError where none can be made."""
    return Namespaces("probe")


def _device(kind: str, *data: tuple[int, bytes]) -> Callable[[], str]:
    """Probe of a kind of device that stands alone."""

    def attempt() -> str:
        with scratch() as namespaces:
            devices.add_link(namespaces, kind, data)
        return ""

    return attempt


def _upper_device(kind: str, *data: tuple[int, bytes]) -> Callable[[], str]:
    """Probe of a kind of device that sits upon another one."""

    def attempt() -> str:
        with scratch() as namespaces:
            lower = devices.add_link(namespaces, "veth", name="lower")
            devices.add_link(namespaces, kind, data, lower=lower)
        return ""

    return attempt


def request_qdisc(namespaces: Namespaces, kind: str, options: bytes) -> None:
    """``tc qdisc add dev lo root`` with a queue of a ``kind`` and its ``options`` (TCA_OPTIONS).

    It is done in ``namespaces``.  OSError where the kernel refuses it.
    """
    # struct tcmsg: family, index, handle, parent, info
    message = struct.pack("=BxxxiIII", 0, LOOPBACK_INDEX, 0, TC_H_ROOT, 0)
    message += attribute(TCA_KIND, kind.encode() + b"\0") + attribute(TCA_OPTIONS, options)
    request = Request(RTM_NEWQDISC, NLM_F_NEW, message)
    devices.request_once(namespaces, request, f"tc qdisc add dev lo root {kind}")


def _netem() -> str:
    """``tc qdisc add dev lo root netem limit 1000``."""
    # struct tc_netem_qopt (linux/pkt_sched.h): latency, limit, loss, gap, duplicate, jitter
    with scratch() as namespaces:
        request_qdisc(namespaces, "netem", struct.pack("=6I", 0, 1000, 0, 0, 0, 0))
    return ""


def _multicast_routing(version: int, *options: int) -> Callable[[], str]:
    """Probe of multicast routing: what a routing daemon does first."""

    def attempt() -> str:
        family, protocol, level = MRT_SOCKETS[version]
        with scratch() as namespaces, namespaces.socket(family, socket.SOCK_RAW, protocol) as sock:
            for option in (MRT_INIT, *options):
                sock.setsockopt(level, option, 1)
        return ""

    return attempt


def _ipv6() -> str:
    with scratch() as namespaces:
        namespaces.visit(lo_up)
        with namespaces.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    return ""


def _vxlan_mdb() -> str:
    """An entry in the multicast database of a vxlan device."""
    entry = AddMdb("probe", "probe", "239.1.1.1", dst="192.0.2.1")
    with scratch() as namespaces:
        vni = (IFLA_VXLAN_ID, struct.pack("=I", 42))
        index = devices.add_link(namespaces, "vxlan", [vni])
        request = encode(entry, lambda *_: index, lambda _: -1)
        devices.request_once(namespaces, request, str(entry))
    return ""


def _tunnel_key() -> str:
    """An action of tc that gives packets the metadata of a tunnel."""
    rule = "filter add dev lo egress matchall action tunnel_key set src_ip 192.0.2.1"
    lines = ("qdisc add dev lo clsact", f"{rule} dst_ip 192.0.2.2 id 42")
    with scratch() as namespaces:
        for line in lines:
            _run(namespaces, "tc", *line.split())
    return ""


def _bridge_vlan_suppress() -> str:
    """A port of a VLAN-filtering bridge, and what the kernel tells about it."""
    with scratch() as namespaces:
        vlans = (IFLA_BR_VLAN_FILTERING, b"\1")
        bridge = devices.add_link(namespaces, "bridge", [vlans], name="bridge")
        port = devices.add_link(namespaces, "veth", name="port", master=bridge)
        if PORT["neigh_vlan_suppress"].number not in devices.port_attributes(namespaces, port):
            raise CapabilityError("the kernel shows no neigh_vlan_suppress of a port")
    return ""


def _gro_max_size() -> str:
    """An older kernel takes the attribute, and takes no notice of it; a newer one shows it."""
    with scratch() as namespaces:
        if IFLA_GRO_MAX_SIZE not in devices.link_attributes(namespaces, LOOPBACK_INDEX):
            raise CapabilityError("the kernel shows no gro_max_size of a device")
    return ""


def _offload(name: str) -> Callable[[], str]:
    """Probe of a feature of devices, by the name that ethtool has for it."""

    def attempt() -> str:
        find_program("ethtool")
        with scratch() as namespaces:
            known = _run(namespaces, "ethtool", "-k", "lo")
        if f"{name}:" not in known:
            raise CapabilityError(f"`ethtool -k lo` shows no {name}")
        return ""

    return attempt


def _run(namespaces: Namespaces, *argv: str) -> str:
    """What a program says; CapabilityError, with its answer, where it fails."""
    environment = {**os.environ, "LC_ALL": "C"}  # for want_answer()
    with namespaces.popen(argv, stderr=subprocess.STDOUT, env=environment) as process:
        said, code = said_by(process)
    want_answer(argv[0], said, code)
    if code:
        raise CapabilityError(f'{argv[0]} answered "{" ".join(said.split())}"')
    return said


def _firewall_rule(*argv: str) -> Callable[[], str]:
    """Probe of one rule of iptables: of the program, the kernel's target, and their agreement."""

    def attempt() -> str:
        find_program(argv[0])
        with scratch() as namespaces:
            _run(namespaces, *argv)
        return ""

    return attempt


def _private_namespaces() -> str:
    """A sandbox, or a place in one, and namespaces of a node in it."""
    from vxlab import sandbox

    refused = sandbox.why_not()
    if refused:
        raise CapabilityError(refused)
    try:
        scratch().close()
    except (OSError, SandboxError) as error:  # outside a sandbox one could be made
        if sandbox.inside():
            raise CapabilityError(str(error)) from error
    return ""


#: Ends with the number of the error; unshare(2) as a program may be missing.
_UNSHARE = f"""
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(libc.unshare({CLONE_NEWUSER | CLONE_NEWNET}) and ctypes.get_errno())
"""

#: What a limit of namespaces that is reached is answered with; it may be 0.
_LIMITS = (errno.ENOSPC, errno.EUSERS)


def _user_namespaces() -> str:
    """A user namespace, and a network namespace that belongs to it."""
    argv = [sys.executable, "-I", "-S", "-c", _UNSHARE]
    code = subprocess.run(argv, timeout=DEADLINE, check=False).returncode
    if code < 0:
        raise ProbeError("the program that tries it was killed", "run it again")
    if code in SHORT and code not in _LIMITS:
        raise ProbeError(kernel_said(code), SHORT[code])
    if code:
        raise CapabilityError(kernel_said(code))
    return ""


def _needs(option: str) -> str:
    return ANOTHER_KERNEL.format(option)


#: All probes of the kernel, in the order that ``vxlab doctor`` shows them.
CHECKS: tuple[Check, ...] = (
    Check(
        name="namespaces",
        title="private namespaces, of which labs are made",
        attempt=_private_namespaces,
        hint="do what it says there",
        required=True,
    ),
    Check(
        name="userns",
        title="user namespaces, which make vxlab run without privileges",
        attempt=_user_namespaces,
        hint="allow them, or run as root, who needs none",
    ),
    Check(
        name="veth",
        title="virtual cables",
        attempt=_device("veth"),
        hint=_needs("CONFIG_VETH"),
        required=True,
    ),
    Check(
        name="bridge",
        title="virtual switches",
        attempt=_device("bridge"),
        hint=_needs("CONFIG_BRIDGE"),
        required=True,
    ),
    Check(
        name="vxlan",
        title="VXLAN devices",
        attempt=_device("vxlan", (IFLA_VXLAN_ID, struct.pack("=I", 42))),
        hint=_needs("CONFIG_VXLAN, 3.7 or later"),
        required=True,
    ),
    Check(
        name="vxlan-mdb",
        title="multicast databases of vxlan devices",
        attempt=_vxlan_mdb,
        hint=f"run on Linux 6.4 or later: {IN_A_MACHINE}",
    ),
    Check(
        name="tunnel-key",
        title="tunnel metadata by tc",
        attempt=_tunnel_key,
        hint=_needs("CONFIG_NET_CLS_MATCHALL and CONFIG_NET_ACT_TUNNEL_KEY"),
    ),
    Check(
        name="gro-max-size",
        title="a limit for what GRO makes",
        attempt=_gro_max_size,
        hint=f"run on Linux 5.19 or later: {IN_A_MACHINE}",
    ),
    Check(
        name="udp-gro-forwarding",
        title="GRO for datagrams that are passed on",
        attempt=_offload("rx-udp-gro-forwarding"),
        hint=f"run on Linux 5.12 or later: {IN_A_MACHINE}",
    ),
    Check(
        name="ipv6",
        title="IPv6",
        attempt=_ipv6,
        hint="switch IPv6 on (the boot option ipv6.disable=0)",
    ),
    Check(
        name="vrf",
        title="virtual routing tables",
        attempt=_device("vrf", (IFLA_VRF_TABLE, struct.pack("=I", 10))),
        hint=_needs("CONFIG_NET_VRF"),
    ),
    Check(
        name="bridge-vlan",
        title="bridges that filter by VLAN",
        attempt=_device("bridge", (IFLA_BR_VLAN_FILTERING, b"\1")),
        hint=_needs("CONFIG_BRIDGE_VLAN_FILTERING"),
    ),
    Check(
        name="bridge-vlan-suppress",
        title="neighbour suppression by VLAN",
        attempt=_bridge_vlan_suppress,
        hint=f"run on Linux 6.4 or later: {IN_A_MACHINE}",
    ),
    Check(
        name="dummy", title="dummy devices", attempt=_device("dummy"), hint=_needs("CONFIG_DUMMY")
    ),
    Check(
        name="macvlan",
        title="several MAC addresses on one device",
        attempt=_upper_device(
            "macvlan", (IFLA_MACVLAN_MODE, struct.pack("=I", MACVLAN_MODE_BRIDGE))
        ),
        hint=_needs("CONFIG_MACVLAN"),
    ),
    Check(
        name="8021q",
        title="VLAN devices",
        attempt=_upper_device("vlan", (IFLA_VLAN_ID, struct.pack("=H", 100))),
        hint=_needs("CONFIG_VLAN_8021Q"),
    ),
    Check(
        name="netem",
        title="delay, loss and reordering on a link",
        attempt=_netem,
        hint=_needs("CONFIG_NET_SCH_NETEM"),
    ),
    Check(
        name="mroute",
        title="IPv4 multicast routing",
        attempt=_multicast_routing(4),
        hint=_needs("CONFIG_IP_MROUTE"),
        required=True,
    ),
    Check(
        name="mroute6",
        title="IPv6 multicast routing",
        attempt=_multicast_routing(6),
        hint=_needs("CONFIG_IPV6_MROUTE"),
    ),
    Check(
        name="pim",
        title="register tunnels of PIM for IPv4",
        attempt=_multicast_routing(4, MRT_PIM),
        hint=_needs("CONFIG_IP_PIMSM_V2"),
        required=True,
    ),
    Check(
        name="pim6",
        title="register tunnels of PIM for IPv6",
        attempt=_multicast_routing(6, MRT_PIM),
        hint=_needs("CONFIG_IPV6_PIMSM_V2"),
    ),
    Check(
        name="iptables-ttl",
        title="raising the TTL of IPv4 packets by a rule",
        attempt=_firewall_rule(
            *("iptables", "-w", "-t", "mangle", "-A", "OUTPUT", "-d", "239.1.1.1"),
            *("-j", "TTL", "--ttl-inc", "1"),
        ),
        hint=_needs("CONFIG_NETFILTER_XT_TARGET_HL and CONFIG_NFT_COMPAT"),
        required=True,
    ),
    Check(
        name="ip6tables-hl",
        title="raising the hop limit of IPv6 packets by a rule",
        attempt=_firewall_rule(
            *("ip6tables", "-w", "-t", "mangle", "-A", "OUTPUT", "-d", "ff05::1"),
            *("-j", "HL", "--hl-inc", "1"),
        ),
        hint=_needs("CONFIG_NETFILTER_XT_TARGET_HL and CONFIG_NFT_COMPAT"),
    ),
)
