"""A kind of device of one's own: one class, with what is public, and all else follows."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from vxlab import (
    Device,
    Lab,
    LinkKind,
    Setting,
    Topology,
    TopologyBuilder,
    TopologyError,
    difference,
    features,
    make_plan,
)
from vxlab.apply.script import script_of
from vxlab.plugin.variants import features_of

BACKENDS = ("netlink", "iproute2", "script")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ifb(Device):
    """A device for what arrives elsewhere, to be queued (ip-link(8), ifb)."""

    kind = LinkKind("ifb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipvlan(Device):
    """A further interface of a device with its MAC address (ip-link(8), IFLA_IPVLAN_*)."""

    kind = LinkKind(
        "ipvlan",
        (
            Setting("mode", 1, "u16", words={"l2": 0, "l3": 1, "l3s": 2}, high=2),
            Setting("flags", 2, "u16", high=3),
        ),
    )
    link: str
    mode: Literal["l2", "l3", "l3s"] = "l2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geneve(Device):
    """Another kind of tunnel (ip-link(8), geneve; IFLA_GENEVE_*)."""

    kind = LinkKind(
        "geneve",
        (
            Setting("id", 1, "u32", high=(1 << 24) - 1),
            Setting("remote", 2, "address"),
            Setting("ttl", 3, "u8"),
            Setting("port", 5, "u16be", word="dstport"),
        ),
    )
    id: int
    remote: str
    ttl: int | None = None


def with_ifb() -> Topology:
    t = TopologyBuilder("queues")
    t.cable("lan", "192.0.2.0/24")
    t.segment("red", 42)
    for n in (1, 2):
        t.host(f"h{n}", "lan")
        t.device(f"h{n}", Ifb("ifb7", mtu=1400, mac=f"02:00:00:00:07:0{n}"))
        t.vtep(f"h{n}", "red", addresses=f"10.0.0.{n}/24")
    return t.build()


def with_ipvlan() -> Topology:
    t = TopologyBuilder("shared cards")
    t.cable("lan", None)
    t.segment("red", 42)
    for n in (1, 2):
        t.host(f"h{n}")
        t.nic(f"h{n}", "lan")
        t.device(f"h{n}", Ipvlan("ipv0", link="eth0", mode="l3s", addresses=f"192.0.2.{n}/24"))
        t.vtep(f"h{n}", "red", nic="ipv0", addresses=f"10.0.0.{n}/24")
    return t.build()


def with_geneve() -> Topology:
    t = TopologyBuilder("two tunnels")
    t.cable("lan", "192.0.2.0/24")
    t.segment("red", 42)
    for n, other in ((1, 2), (2, 1)):
        t.host(f"h{n}", "lan", f"192.0.2.{n}/24")
        far = f"192.0.2.{other}"
        t.device(
            f"h{n}",
            Geneve(
                "gnv0",
                id=7,
                remote=far,
                ttl=9,
                addresses=f"10.7.0.{n}/24",
                attributes={"port": 6082},
            ),
        )
        t.vtep(f"h{n}", "red", addresses=f"10.0.0.{n}/24")
    return t.build()


MADE = {
    "ifb7": (with_ifb, {}, "10.0.0.2"),
    "ipv0": (with_ipvlan, {"mode": "l3s"}, "10.0.0.2"),
    "gnv0": (with_geneve, {"id": 7, "remote": "192.0.2.2", "ttl": 9, "port": 6082}, "10.7.0.2"),
}


@pytest.mark.parametrize(
    ("device", "line"),
    [
        ("ifb7", "dev ifb7 address 02:00:00:00:07:01 mtu 1400 type ifb"),
        ("ipv0", "link eth0 dev ipv0 type ipvlan mode l3s"),
        ("gnv0", "type geneve id 7 remote 192.0.2.2 ttl 9 dstport 6082"),
    ],
)
def test_it_is_planned_and_scripted(device: str, line: str) -> None:
    topology = MADE[device][0]()
    planned = [str(each) for each in make_plan(topology) if f" {device} " in str(each)]
    assert len(planned) >= 2
    assert set(line.split()) <= set(planned[0].replace(";", " ").split())
    assert line.partition("type ")[2] in script_of(topology)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", MADE)
def test_it_is_built_by_all_backends_read_back_and_carries(device: str, backend: str) -> None:
    make, settings, target = MADE[device]
    missing = features.missing(features_of(make()))
    if missing:
        pytest.skip("; ".join(feature.sentence() for feature in missing))
    with Lab(make(), backend=backend) as lab, Lab(make()) as same:
        (link,) = (each for each in lab["h1"].state.links if each.name == device)
        assert settings.items() <= dict(link.attributes).items()
        assert not [
            line
            for line in difference(lab["h1"].state, same["h1"].state)
            if not line.endswith(" learned")
        ]
        assert lab["h1"].ping(target)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Ifb("ifb0", attributes={"speed": 7}),
            "ifb ifb0: speed: wanted a setting of ifb: none at all",
        ),
        (
            lambda: Ipvlan("ipv0", link="eth0", mode="l4"),  # type: ignore[arg-type]
            "ipvlan ipv0: mode: wanted l2, l3, l3s or a whole number from 0 to 2, found 'l4'",
        ),
        (
            lambda: Geneve("gnv0", id=1 << 24, remote="192.0.2.2"),
            "geneve gnv0: id: wanted a whole number from 0 to 16777215, found 16777216",
        ),
        (
            lambda: Geneve("gnv0", id=7, remote="far"),
            "geneve gnv0: remote: wanted a value of type address, found 'far'",
        ),
    ],
)
def test_a_wrong_value_is_refused(make: type[Device], message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()  # type: ignore[call-arg]
    assert str(caught.value).startswith(message)


def test_the_script_needs_neither_python_nor_the_class(tmp_path: Path) -> None:
    file = tmp_path / "queues.sh"
    file.write_text(script_of(with_ifb()), encoding="utf-8")
    done = subprocess.run(["sh", "-n", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Ifb" not in file.read_text()
