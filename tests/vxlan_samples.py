"""A value of each vxlan attribute, as `ip` and as netlink have it."""

from __future__ import annotations

import struct
from typing import Any

#: A value other than the default for every attribute, with the words of ip(8), and the payload
#: that the kernel expects (include/uapi/linux/if_link.h, vxlan_policy).
SAMPLES: dict[str, tuple[Any, list[str], tuple[int, bytes]]] = {
    "id": (0x123456, ["id", "1193046"], (1, struct.pack("=I", 0x123456))),
    "group": ("239.1.2.3", ["group", "239.1.2.3"], (2, bytes([239, 1, 2, 3]))),
    "remote": ("10.0.0.9", ["remote", "10.0.0.9"], (2, bytes([10, 0, 0, 9]))),
    "dev": ("eth0", ["dev", "eth0"], (3, struct.pack("=I", 7))),
    "local": ("10.0.0.1", ["local", "10.0.0.1"], (4, bytes([10, 0, 0, 1]))),
    "ttl": (9, ["ttl", "9"], (5, b"\x09")),
    "tos": (16, ["tos", "0x10"], (6, b"\x10")),
    "learning": (False, ["nolearning"], (7, b"\0")),
    "ageing": (77, ["ageing", "77"], (8, struct.pack("=I", 77))),
    "maxaddress": (5, ["maxaddress", "5"], (9, struct.pack("=I", 5))),
    "srcport": ((100, 200), ["srcport", "100", "200"], (10, b"\0\x64\0\xc8")),
    "proxy": (True, ["proxy"], (11, b"\1")),
    "rsc": (True, ["rsc"], (12, b"\1")),
    "l2miss": (True, ["l2miss"], (13, b"\1")),
    "l3miss": (True, ["l3miss"], (14, b"\1")),
    "dstport": (4789, ["dstport", "4789"], (15, b"\x12\xb5")),
    "udpcsum": (False, ["noudpcsum"], (18, b"\0")),
    "udp6zerocsumtx": (True, ["udp6zerocsumtx"], (19, b"\1")),
    "udp6zerocsumrx": (True, ["udp6zerocsumrx"], (20, b"\1")),
    "remcsumtx": (True, ["remcsumtx"], (21, b"\1")),
    "remcsumrx": (True, ["remcsumrx"], (22, b"\1")),
    "gbp": (True, ["gbp"], (23, b"")),
    "remcsum_nopartial": (True, ["remcsum_nopartial"], (24, b"")),
    "external": (True, ["external"], (25, b"\1")),
    "flowlabel": (0xABCDE, ["flowlabel", "0xabcde"], (26, b"\x00\x0a\xbc\xde")),
    "gpe": (True, ["gpe"], (27, b"")),
    "ttl_inherit": (True, ["ttl", "inherit"], (28, b"")),
    "df": (1, ["df", "set"], (29, b"\x01")),
    "vnifilter": (True, ["vnifilter"], (30, b"\1")),
    "localbypass": (False, ["nolocalbypass"], (31, b"\0")),
    "label_policy": (1, ["label_policy", "1"], (32, struct.pack("=I", 1))),
    "reserved_bits": (0xFF, ["reserved_bits", "0xff"], (33, bytes(7) + b"\xff")),
    "mcroute": (True, ["mcroute"], (34, b"\1")),
}
