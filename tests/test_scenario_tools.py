"""What scenarios read from programs, in the words of all versions that distributions have."""

from __future__ import annotations

import importlib

import pytest
from project_tools import REPOSITORY

from vxlab import Result


@pytest.mark.parametrize(
    ("said", "mtu"),
    [
        ("ping: local error: message too long, mtu=1450", 1450),  # iputils 20221126, Debian 12
        ("ping: local error: message too long, mtu: 1450", 1450),  # iputils 20240905, Debian 13
        ("From 192.0.2.1 icmp_seq=1 Frag needed and DF set (mtu = 1350)", 1350),
        ("From 2001:db8::1 icmp_seq=1 Packet too big: mtu=1330", 1330),
        ("From 192.0.2.1 icmp_seq=1 Destination Host Unreachable", None),
        ("mtu 1500", None),
    ],
)
def test_the_mtu_that_ping_reports(
    monkeypatch: pytest.MonkeyPatch, said: str, mtu: int | None
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scenarios"))
    result = Result(argv=("ping",), code=1, stdout="", stderr=f"{said}\n")
    assert importlib.import_module("mtu_tools").reported_mtu(result) == mtu
