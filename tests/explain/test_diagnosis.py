"""What is said of labs that are broken, and of healthy ones; must be run inside the sandbox."""

from __future__ import annotations

import pytest
from diagnosis_breaks import BREAKS
from diagnosis_tools import ENDS, open_lab

import vxlab.explain.diagnosis
import vxlab.system.namespaces
from vxlab import catalog
from vxlab.catalog import bridged, kim_and_lee, one_switch, point_to_point, routed
from vxlab.describe.filters import Rule, drop_udp
from vxlab.describe.vxlan import IANA_PORT, KERNEL_PORT
from vxlab.errors import MissingProgram, VxlabError
from vxlab.explain.diagnosis import CODES, Diagnosis, diagnose
from vxlab.live.lab import Lab
from vxlab.operations import AddAddress, AddFdb, AddNeighbour, AddRule, SetLink, SetSysctl


def ask(lab: Lab, **options: float) -> Diagnosis:
    """Diagnose between the usual ends of the lab's topology."""
    return diagnose(lab, *ENDS[lab.topology.name], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_named_with_its_hop_and_its_culprit(name: str) -> None:
    given = BREAKS[name]
    with open_lab(given.topology()) as lab:
        given.make(lab)
        source, address = given.ends or ENDS[lab.topology.name]
        found = diagnose(lab, source, address, size=given.size)
    assert not found.reached
    assert (found.code, found.hop or "") == (given.code, given.hop), str(found)
    assert given.reason in found.sentence
    assert found.sentence.startswith(f"{source} -> {address}: ")
    assert found.advice.startswith(CODES[given.code])


def test_every_code_is_seen_in_some_test() -> None:
    seen = {given.code for given in BREAKS.values()}
    assert set(CODES) - seen == {"ok", "other-node", "unknown"}


HEALTHY = {
    "one remote": point_to_point,
    "one remote in ipv6": lambda: point_to_point(family=6),
    "several remotes": lambda: point_to_point(hosts=4),
    "a bridge": bridged,
    "a bridge in ipv6": lambda: bridged(family=6),
    "a group": lambda: catalog.multicast(hosts=3),
    "a group in ipv6": lambda: catalog.multicast(hosts=3, family=6),
    "one switch": one_switch,
    "kim and lee": kim_and_lee,
    "kim and lee in ipv6": lambda: kim_and_lee(family=6),
    "kim and lee, ttl of the device": lambda: kim_and_lee(ttl="device"),
    "three subnets": routed,
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_lab_is_ok_at_every_hop(name: str) -> None:
    with open_lab(HEALTHY[name]()) as lab:
        found = ask(lab, timeout=10.0)
    assert (found.reached, found.code, found.hop) == (True, "ok", None), str(found)
    assert found.steps
    assert all(step.seen for step in found.steps), str(found)
    assert {step.direction for step in found.steps} == {"there", "back"}


def test_two_containers_of_one_host_never_meet_the_underlay() -> None:
    with open_lab(bridged(containers=2)) as lab:
        found = diagnose(lab, "ns0", "172.18.1.3", timeout=10.0)
    assert found.code == "ok"
    places = ["ns0:eth0", "a:ns0-eth0", "a:ns1-eth0", "ns1:eth0"]
    assert [step.place for step in found.steps] == [*places, *reversed(places)]


def test_static_entries_do_without_flooding() -> None:
    with open_lab(bridged(flood="none")) as lab:
        mac = {name: lab[name].state.links[1].mac for name in ("ns0", "ns1")}
        lab.apply(
            AddFdb("a", "vxlan0", mac["ns1"], "192.168.57.54"),
            AddNeighbour("ns0", "eth0", "172.18.1.3", mac["ns1"]),
        )
        lab["b"].run("ip", "link", "set", "vxlan0", "type", "vxlan", "nolearning")
        asked_back = diagnose(lab, "ns0", "172.18.1.3")
        lab.apply(AddFdb("b", "vxlan0", mac["ns0"], "192.168.57.50"))
        lab["ns1"].run("ip", "neigh", "replace", "172.18.1.2", "lladdr", mac["ns0"], "dev", "eth0")
        found = diagnose(lab, "ns0", "172.18.1.3", timeout=10.0)
    # the target has no entry for the source yet, and its question has nowhere to go
    assert (asked_back.code, asked_back.hop) == ("no-remote", "b:eth0"), str(asked_back)
    assert "ns1 asks back" in asked_back.sentence
    assert found.code == "ok", str(found)


def test_ipv6_inside_is_asked_for_by_neighbour_discovery() -> None:
    topology = one_switch()
    for number, name in enumerate("ab", start=2):
        topology = topology.with_vtep(name, "overlay", addresses=(f"fd42::{number}/64",))
    with open_lab(topology) as lab:
        good = diagnose(lab, "a", "fd42::3", timeout=10.0)
        lab["a"].run("ip", "neigh", "flush", "dev", "vxlan0")
        lab.apply(AddRule("b", drop_udp(KERNEL_PORT).words))
        bad = diagnose(lab, "a", "fd42::3")
    assert good.code == "ok", str(good)
    assert (bad.code, bad.hop) == ("firewall", "b:vxlan0"), str(bad)
    assert any("ND who-has" in step.summary for step in bad.steps)


def test_the_path_reads_from_hop_to_hop_with_the_frames() -> None:
    with open_lab(kim_and_lee(ttl=None)) as lab:
        found = ask(lab)
    lines = str(found).splitlines()
    assert lines[0] == "kim-srv1 -> 1.1.1.2: ttl, broken at router:eth1"
    assert lines[1].split()[:4] == ["there", "kim-srv1:eth0", "ARP", "who-has"]
    assert "VXLAN vni 10 192.168.11.10 > 239.1.1.1:8472 ttl 1 | ARP" in lines[5]
    assert lines[5].split()[:2] == ["there", "router:eth0"]
    assert lines[6].split() == ["there", "router:eth1", "not", "seen"]
    assert found.sentence == (
        "kim-srv1 -> 1.1.1.2: the frame to 239.1.1.1 reaches router eth0 with TTL 1 and dies "
        "there: multicast leaves with TTL 1 unless the vxlan device has a ttl or a packet filter "
        "rule raises it"
    )


def test_what_is_odd_and_innocent_is_not_blamed() -> None:
    """Rules that count but cannot have hit, and another tenant in ruins."""
    topology = kim_and_lee().with_vtep("lxc2", "lee", id=21)
    topology = topology.with_vtep("lxc2", "lee", group="239.9.9.9")
    tcp = Rule(("-A", "INPUT", "-p", "tcp", "-j", "DROP"))
    other = Rule(("-I", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "DROP"))
    for host in ("lxc1", "lxc2"):
        topology = topology.with_host(host, rules=(*topology.host(host).rules, tcp, other))
    with open_lab(topology) as lab:
        lab.apply(SetLink("lee-srv1", "eth0", up=False))
        good = ask(lab, timeout=10.0)
        lab["kim-srv1"].run("ip", "neigh", "flush", "all")
        lab.stop_daemon("router")
        bad = ask(lab)
    assert good.code == "ok", str(good)
    assert (bad.code, bad.hop) == ("no-daemon", "router:eth1"), str(bad)
    assert "besides" not in bad.advice


def test_the_first_of_two_breaks_is_the_verdict_and_the_other_is_mentioned() -> None:
    topology = one_switch().with_vtep("b", "overlay", id=43, dstport=4790)
    with open_lab(topology) as lab:
        both = ask(lab)
        lab.apply(AddRule("b", drop_udp(KERNEL_PORT).words))
        three = ask(lab)
    assert both.code == "port-mismatch"
    assert "besides, it has VNI 42, and vxlan0 on b has 43" in both.advice
    assert three.code == "firewall"
    assert "listens on 4790" in three.advice


def test_a_repaired_lab_is_ok_again() -> None:
    with open_lab(kim_and_lee()) as lab:
        lab.stop_daemon("router")
        assert ask(lab).code == "no-daemon"
        lab.start_daemon("router")
        assert ask(lab, timeout=10.0).code == "ok"


def test_a_question_left_from_an_earlier_try_does_not_mislead() -> None:
    """The kernel asks for a MAC once a second: just after that, a ping would send nothing."""
    with open_lab(point_to_point().with_vtep("b", "overlay", id=43)) as lab:
        lab["a"].ping("172.18.1.3", timeout=0.05)
        found = ask(lab, timeout=0.2)
    assert (found.code, found.hop) == ("vni-mismatch", "b:vxlan0"), str(found)


def test_another_node_that_answers_is_named() -> None:
    with open_lab(kim_and_lee()) as lab:
        lab["kim-srv2"].run("ip", "address", "flush", "dev", "eth0")
        lab.apply(SetLink("lxc2", "lee-srv2-eth0", master="br-10"))
        found = ask(lab, timeout=10.0)
    assert (found.reached, found.code) == (True, "other-node"), str(found)
    assert "not by kim-srv2: by lee-srv2" in found.sentence


def test_who_has_an_address_now_is_the_target() -> None:
    with open_lab(point_to_point(hosts=3)) as lab:
        lab.apply(AddAddress("c", "vxlan0", "172.18.1.77/24"))
        found = diagnose(lab, "a", "172.18.1.77", timeout=10.0)
    assert found.code == "ok"
    assert "c:vxlan0" in {step.place for step in found.steps}


def test_an_address_of_its_own_and_one_outside_have_no_path_to_show() -> None:
    with open_lab(point_to_point()) as lab:
        own = diagnose(lab, "a", "172.18.1.2", timeout=10.0)
        outside = diagnose(lab, "a", "192.168.57.54", timeout=10.0)
    assert (own.code, own.steps, outside.code, outside.steps) == ("ok", (), "ok", ())
    assert "its own address" in own.sentence
    assert "outside of segment overlay" in outside.sentence


def test_what_nothing_explains_is_unknown() -> None:
    """The reverse-path filter drops it, of which no evidence is read: so none is made up."""
    with open_lab(one_switch()) as lab:
        lab["b"].run("ip", "route", "del", "192.168.10.0/24")
        lab.apply(SetSysctl("b", "net.ipv4.conf.eth0.rp_filter", "1"))
        found = ask(lab)
    assert (found.code, found.hop) == ("unknown", "b:vxlan0"), str(found)
    assert "nothing that was read back explains it" in found.sentence


def test_a_missing_program_is_said_and_nothing_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    real = vxlab.system.namespaces.find_program

    def without_save(name: str, extra: tuple[str, ...] = ()) -> str:
        if name == "iptables-save":
            raise MissingProgram(name, "iptables")
        return real(name, extra)

    with open_lab(point_to_point().with_host("b", rules=(drop_udp(IANA_PORT),))) as lab:
        monkeypatch.setattr(vxlab.system.namespaces, "find_program", without_save)
        found = ask(lab)
    assert (found.code, found.hop) == ("unknown", "b:vxlan0"), str(found)
    assert "wanted the program 'iptables-save'" in found.sentence


def test_silence_of_a_capture_that_lost_frames_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ring of two frames is full with the question for the MAC of the host and its answer."""
    monkeypatch.setattr(vxlab.explain.diagnosis, "_CAPTURE_BUFFER", 4096)
    monkeypatch.setattr(vxlab.explain.diagnosis, "_READ_EVERY", 30.0)
    with open_lab(point_to_point().with_vtep("b", "overlay", id=43)) as lab:
        found = ask(lab)
    assert found.code == "unknown", str(found)
    assert "lost" in found.sentence


@pytest.mark.parametrize(
    ("source", "address", "timeout", "complaint"),
    [
        ("router", "1.1.1.2", 1.0, "endpoint of no segment: ping from one of kim-srv1"),
        ("nobody", "1.1.1.2", 1.0, "wanted 'nobody'"),
        ("kim-srv1", "kim-srv2", 1.0, "wanted the IP address of an endpoint, found 'kim-srv2'"),
        ("kim-srv1", "1.1.1.2", 0.0, "wanted a timeout"),
    ],
)
def test_a_question_without_sense_is_refused(
    source: str, address: str, timeout: float, complaint: str
) -> None:
    with open_lab(kim_and_lee(router=None)) as lab, pytest.raises(VxlabError) as caught:
        diagnose(lab, source, address, timeout=timeout)
    assert complaint in str(caught.value)


def test_an_accepting_rule_with_drop_in_its_comment_is_innocent() -> None:
    topology = point_to_point().with_vtep("b", "overlay", id=43)
    words = ("-A", "INPUT", "-m", "comment", "--comment", "else -j DROP", "-j", "ACCEPT")
    with open_lab(topology.with_host("b", rules=(Rule(words),))) as lab:
        found = ask(lab)
    assert found.code == "vni-mismatch", str(found)
