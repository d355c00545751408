"""Bad arguments of a reference VTEP are refused, each by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference_tools import FRAME, B, reference, without_vteps

from vxlab.errors import VxlabError
from vxlab.live.node import Node
from vxlab.reference import ReferenceVtep


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"vni": 1 << 24}, "vni: wanted 0 to 16777215, found 16777216"),
        ({"vni": "42"}, "vni: wanted a whole number, found '42'"),
        ({"port": 0}, "port: wanted 1 to 65535, found 0"),
        ({"local": "here"}, "local: wanted an IP address, found 'here'"),
        ({"local": "239.1.1.1"}, "local: wanted a unicast address"),
        ({"remotes": ["fd00::1"]}, "remotes: wanted an address of the family of 192.168.57.54"),
        ({"remotes": "there"}, "remotes: .* found 'there'"),
        ({"remotes": [None]}, "remotes: .* found None"),
        ({"address": B}, "address: wanted an address with prefix length"),
        ({"mac": "01:00:00:00:00:01"}, "mac: wanted a unicast MAC"),
        ({"ttl": 256}, "ttl: wanted 1 to 255, found 256"),
        ({"answer": 1}, "answer: wanted True or False, found 1"),
        ({"gbp": True, "gpe": True}, "gpe: wanted gbp or gpe, found both"),
        ({"group": "10.0.0.1", "dev": "eth0"}, "group: wanted a multicast group"),
        ({"group": "ff08::1", "dev": "eth0"}, "group: wanted an address of the family"),
        ({"group": "239.1.1.1"}, "dev: wanted the interface to join 239.1.1.1 on"),
        ({"dev": ""}, "dev: wanted a non-empty string"),
        ({"local": None}, "local: wanted a non-empty string, found None"),
        ({"remotes": None}, "remotes: .* found None"),
        ({"address": 3}, "address: wanted a non-empty string, found 3"),
        ({"gpe": None}, "gpe: wanted True or False, found None"),
    ],
)
def test_bad_settings_are_refused(options, found):
    with pytest.raises(VxlabError, match=f"^reference VTEP on b: {found}"):
        ReferenceVtep(Node("b", None, lambda: None, Path), **options)


def test_what_is_no_node_is_refused():
    with pytest.raises(VxlabError, match=r"wanted a node, as lab\['b'\] is, found 'b'"):
        ReferenceVtep("b")


@pytest.mark.parametrize("inner", ["text", 60, None])
def test_what_is_no_frame_is_refused(inner):
    with pytest.raises(VxlabError, match="wanted a frame of bytes or scapy's, found "):
        ReferenceVtep(Node("b", None, lambda: None, Path)).encapsulate(inner)


@pytest.mark.topology(without_vteps())
@pytest.mark.parametrize(
    ("call", "options", "found"),
    [
        ("send", {"vni": -1}, "vni: wanted 0 to 16777215, found -1"),
        ("send", {"flags": 256}, "flags: wanted 0 to 255, found 256"),
        ("send", {"reserved1": 1 << 24}, "reserved1: wanted 0 to 16777215"),
        ("send", {"reserved2": None}, "reserved2: wanted a whole number, found None"),
        ("send", {"to": "fd00::1"}, "to: wanted an address of the family"),
        ("send_outer", {"source": "fd00::1"}, "source: wanted an address of the family"),
        ("send_outer", {"source_port": 65536}, "source_port: wanted 0 to 65535"),
        ("send_outer", {"port": -1}, "port: wanted 0 to 65535"),
        ("send_outer", {"ttl": 256}, "ttl: wanted 0 to 255"),
        ("send_outer", {"tos": 256}, "tos: wanted 0 to 255"),
        ("send_outer", {"checksum": "odd"}, "wanted a checksum right, zero or wrong, found 'odd'"),
        ("send_outer", {"fragment": 100}, "fragment: wanted a multiple of 8 bytes, found 100"),
        ("send_outer", {"fragment": 0}, "fragment: wanted 8 to 65528, found 0"),
    ],
)
def test_bad_things_to_send_are_refused(lab, call, options, found):
    with reference(lab) as far, pytest.raises(VxlabError, match=found):
        getattr(far, call)(FRAME, **options)


@pytest.mark.topology(without_vteps())
def test_a_ping_without_an_own_address_is_refused(lab):
    with reference(lab) as far:
        with pytest.raises(VxlabError, match=r"to reach fd42::2 from, found 172.18.1.3/24"):
            far.ping("fd42::2")
        with pytest.raises(VxlabError, match="address: wanted an IP address, found 'a'"):
            far.ping("a")
