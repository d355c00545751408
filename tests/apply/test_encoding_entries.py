"""The bytes of operations on forwarding entries, VNIs, groups, neighbours and next hops."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from encoding_tools import MAC, NEW, attributes, decode, encode

from vxlab.netlink import messages
from vxlab.operations import (
    AddFdb,
    AddMdb,
    AddNeighbour,
    AddNexthop,
    AddVni,
    DelFdb,
    DelMdb,
    DelNexthop,
    DelVni,
    FlushFdb,
    FlushMdb,
)

NESTED = 0x8000


# States: bridge(8) sets NUD_NOARP beside NUD_PERMANENT (0x80) or NUD_REACHABLE (0x02).
@pytest.mark.parametrize(
    ("entry", "kind", "flags", "state", "more"),
    [
        (AddFdb("h", "vx", MAC, "10.0.0.9"), 28, NEW, 0xC0, {}),
        (AddFdb("h", "vx", MAC, "10.0.0.9", state="static"), 28, NEW, 0x42, {}),
        (AddFdb("h", "vx", MAC, "10.0.0.9", state="dynamic"), 28, NEW, 0x02, {}),
        (AddFdb("h", "vx", MAC, "10.0.0.9", replace=True), 28, 0x1 | 0x400 | 0x100, 0xC0, {}),
        (AddFdb("h", "vx", MAC, "10.0.0.9", append=True), 28, 0x1 | 0x400 | 0x800, 0xC0, {}),
        (
            AddFdb("h", "vx", MAC, "10.0.0.9", port=4789, vni=0x123456, via="eth0"),
            28,
            NEW,
            0xC0,
            {"NDA_PORT": 4789, "NDA_VNI": 0x123456, "NDA_IFINDEX": 7},
        ),
        (AddFdb("h", "vx", MAC, "10.0.0.9", src_vni=5), 28, NEW, 0xC0, {"NDA_SRC_VNI": 5}),
        (DelFdb("h", "vx", MAC, "10.0.0.9"), 29, 0x1, 0, {}),
    ],
)
def test_a_forwarding_entry_is_encoded(
    entry: Any, kind: int, flags: int, state: int, more: dict[str, Any]
) -> None:
    message = decode(entry)
    assert message["header"]["type"] == kind
    assert message["header"]["flags"] == flags
    assert (message["family"], message["ifindex"]) == (7, 11)  # AF_BRIDGE
    assert (message["state"], message["flags"]) == (state, 0x02)  # NTF_SELF
    assert attributes(message) == {"NDA_LLADDR": MAC, "NDA_DST": "10.0.0.9", **more}


def test_a_forwarding_entry_to_an_ipv6_remote_is_encoded() -> None:
    _, _, body = encode(AddFdb("h", "vx", MAC, "fd00::9"))
    assert messages.attribute(1, bytes.fromhex("fd00") + bytes(13) + b"\x09") in body


@pytest.mark.parametrize(("address", "family"), [("10.0.0.9", 2), ("fd00::9", 10)])
def test_a_neighbour_is_encoded(address: str, family: int) -> None:
    message = decode(AddNeighbour("h", "eth0", address, MAC))
    assert message["header"]["flags"] == NEW
    assert (message["family"], message["ifindex"]) == (family, 7)
    assert (message["state"], message["flags"]) == (0x80, 0)
    assert attributes(message) == {"NDA_DST": address, "NDA_LLADDR": MAC}


@pytest.mark.parametrize(
    ("entry", "state", "flags", "more"),
    [
        (AddNeighbour("h", "eth0", "10.0.0.9", MAC, flags=("router",)), 0x80, 0x80, b""),
        (AddNeighbour("h", "eth0", "10.0.0.9", MAC, "stale", ("extern_learn",)), 4, 0x10, b""),
        (
            AddNeighbour("h", "eth0", "10.0.0.9", MAC, "reachable", ("managed",)),
            2,
            0,
            messages.attribute(15, struct.pack("=I", 1)),  # NDA_FLAGS_EXT
        ),
    ],
)
def test_a_neighbour_with_flags_is_encoded(entry: Any, state: int, flags: int, more: bytes) -> None:
    message = decode(AddNeighbour("h", "eth0", "10.0.0.9", MAC))
    _, _, body = encode(entry)
    assert struct.unpack_from("=BxxxiHB", body) == (message["family"], 7, state, flags)
    assert body.endswith(more)


def test_a_proxy_neighbour_is_encoded() -> None:
    message = decode(AddNeighbour("h", "eth0", "10.0.0.9", proxy=True))
    assert (message["state"], message["flags"]) == (0, 0x08)  # NTF_PROXY
    assert attributes(message) == {"NDA_DST": "10.0.0.9"}


def nested(*parts: bytes) -> bytes:
    return b"".join(parts)


def test_a_flush_masks_what_it_asks_for() -> None:
    kind, flags, body = encode(
        FlushFdb("h", "vx", vni=9, states=("permanent",), no_flags=("extern_learn",))
    )
    assert (kind, flags) == (29, 0x1 | 0x200)  # RTM_DELNEIGH, NLM_F_BULK
    assert struct.unpack_from("=BxxxiHB", body) == (7, 11, 0x80, 0x02)
    assert body[12:] == nested(
        messages.attribute(7, struct.pack("=I", 9)),
        messages.attribute(17, b"\x10"),  # NDA_NDM_FLAGS_MASK
        messages.attribute(16, struct.pack("=H", 0x80)),  # NDA_NDM_STATE_MASK
    )


@pytest.mark.parametrize(
    ("entry", "kind", "fields"),
    [
        (AddVni("h", "vx", 7), 120, [(1, struct.pack("=I", 7))]),
        (
            AddVni("h", "vx", 7, last=9, group="239.1.1.1"),
            120,
            [(1, struct.pack("=I", 7)), (2, struct.pack("=I", 9)), (3, bytes([239, 1, 1, 1]))],
        ),
        (
            DelVni("h", "vx", 7, remote="fd00::1"),
            121,
            [(1, struct.pack("=I", 7)), (4, bytes.fromhex("fd00") + bytes(13) + b"\1")],
        ),
    ],
)
def test_a_vni_of_a_filter_is_encoded(
    entry: Any, kind: int, fields: list[tuple[int, bytes]]
) -> None:
    found, _, body = encode(entry)
    assert found == kind
    assert body[:8] == struct.pack("=BBHI", 7, 0, 0, 11)  # struct tunnel_msg
    inner = b"".join(messages.attribute(*field) for field in fields)
    assert body[8:] == messages.attribute(1 | NESTED, inner)


def test_a_group_entry_is_encoded() -> None:
    kind, flags, body = encode(
        AddMdb(
            "h",
            "vx",
            "239.1.1.1",
            dst="10.0.0.9",
            port=4000,
            vni=8,
            src_vni=9,
            filter_mode="include",
            source_list=("10.0.0.7",),
        )
    )
    assert (kind, flags) == (84, NEW)
    row = struct.pack("=IBBH", 11, 1, 0, 0) + bytes([239, 1, 1, 1]) + bytes(12) + b"\x08\0\0\0"
    source = messages.attribute(1 | NESTED, messages.attribute(1, bytes([10, 0, 0, 7])))
    fields = nested(
        messages.attribute(3, b"\1"),
        messages.attribute(5, bytes([10, 0, 0, 9])),
        messages.attribute(6, struct.pack("=H", 4000)),
        messages.attribute(7, struct.pack("=I", 8)),
        messages.attribute(9, struct.pack("=I", 9)),
        messages.attribute(2 | NESTED, source),
    )
    assert body == nested(
        struct.pack("=BxxxI", 7, 11),
        messages.attribute(1, row),
        messages.attribute(2 | NESTED, fields),
    )


def test_a_group_entry_that_goes_away() -> None:
    kind, flags, _ = encode(DelMdb("h", "vx", "ff05::1", dst="fd00::9"))
    assert (kind, flags) == (85, 0x1)


def test_a_group_entry_of_a_port_of_a_bridge_is_encoded() -> None:
    _, _, body = encode(
        AddMdb("h", "vx", "01:02:03:04:05:06", port_name="eth0", vlan=10, protocol=186)
    )
    row = struct.pack("=IBBH", 7, 1, 0, 10) + bytes([1, 2, 3, 4, 5, 6]) + bytes(14)
    assert body[8:] == nested(
        messages.attribute(1, row),
        messages.attribute(2 | NESTED, messages.attribute(4, b"\xba")),
    )


def test_a_flush_of_group_entries_is_encoded() -> None:
    kind, flags, body = encode(FlushMdb("h", "vx"))
    assert (kind, flags) == (85, 0x1 | 0x200)
    assert body[8:] == messages.attribute(1, bytes(28))
    _, _, body = encode(
        FlushMdb("h", "vx", port=4000, protocol=4, port_name="vx", vlan=10, state="permanent")
    )
    fields = nested(
        messages.attribute(4, b"\4"),
        messages.attribute(6, struct.pack("=H", 4000)),
        messages.attribute(10, b"\1"),
    )
    row = struct.pack("=IBBH", 11, 1, 0, 10) + bytes(20)
    assert body[8:] == nested(messages.attribute(1, row), messages.attribute(2 | NESTED, fields))
    _, _, body = encode(FlushMdb("h", "vx", state="nopermanent"))
    mask = messages.attribute(2 | NESTED, messages.attribute(10, b"\1"))
    assert body[8:] == nested(messages.attribute(1, bytes(28)), mask)


def test_a_next_hop_and_a_group_of_them_are_encoded() -> None:
    kind, flags, body = encode(AddNexthop("h", 3, via="10.0.0.9"))
    assert (kind, flags) == (104, NEW)
    assert body == nested(
        struct.pack("=BBBxI", 2, 0, 0, 0),
        messages.attribute(1, struct.pack("=I", 3)),
        messages.attribute(6, bytes([10, 0, 0, 9])),
        messages.attribute(11, b""),
    )
    _, _, body = encode(AddNexthop("h", 4, group=(3, (5, 10))))
    assert body.endswith(messages.attribute(2, struct.pack("=IBxxxIBxxx", 3, 0, 5, 9)))
    assert encode(DelNexthop("h", 3))[0] == 105
