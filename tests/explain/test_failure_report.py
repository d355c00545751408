"""What is kept of a failed test, taken from real labs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest

from vxlab import Lab, catalog, wait_until
from vxlab.errors import VxlabError
from vxlab.explain import failure_report
from vxlab.explain.failure_report import (
    file_name,
    last_frames_text,
    plan_text,
    recorded_frames,
    states_text,
)
from vxlab.live.node import Node
from vxlab.operations import AddAddress, AddLink, Operation, SetLink


@pytest.fixture(scope="module")
def used() -> Iterator[Lab]:
    """A lab that has seen one ping; the tests only look."""
    with Lab(catalog.bridged(), recorder=True) as lab:
        assert lab["ns0"].ping("172.18.1.3")
        yield lab


@pytest.fixture
def fresh() -> Iterator[Lab]:
    """A lab that has seen nothing yet."""
    with Lab(catalog.point_to_point(port=14789), recorder=True) as lab:
        yield lab


# --- states ----------------------------------------------------------------------------------


def test_the_state_of_every_node_is_told(used):
    text = states_text(used)
    assert text.startswith("topology bridged, built by netlink\n")
    parts = dict(part.split("\n", 1) for part in text.split("--- ")[1:])
    assert list(parts) == list(used) == ["a", "b", "ns0", "ns1"]
    assert "172.18.1.3" in parts["ns1"]
    assert "vxlan id 42" in parts["a"]
    assert "vxlan id 42" not in parts["ns0"]


def test_a_node_that_cannot_be_read_hides_no_other(used, monkeypatch):
    real = Node.state.fget

    def state(node):
        if node.name == "a":
            raise VxlabError("a: out of reach")
        return real(node)

    monkeypatch.setattr(Node, "state", property(state))
    text = states_text(used)
    assert "--- a\nno state: a: out of reach\n--- b\nstate of b\n" in text
    assert "--- ns1\nstate of ns1\n" in text


# --- frames ----------------------------------------------------------------------------------


def test_frames_of_all_nodes_in_the_order_of_time(used):
    frames = recorded_frames(used)
    assert {frame.node for frame in frames} == set(used)
    times = [frame.time_ns for frame in frames]
    assert times == sorted(times)


def test_a_frame_a_line(used, monkeypatch):
    monkeypatch.setattr(failure_report, "LAST_FRAMES", 1000)
    lines = last_frames_text(used).splitlines()
    asked = [line for line in lines if "ARP who-has 172.18.1.3 tell 172.18.1.2" in line]
    hops = [line.split()[1:3] for line in asked]
    for hop in (
        ["ns0/eth0", "->"],
        ["a/ns0-eth0", "<-"],
        ["a/vxlan0", "->"],
        ["a/eth0", "->"],
        ["b/eth0", "<-"],
        ["b/vxlan0", "<-"],
        ["ns1/eth0", "<-"],
    ):
        assert hop in hops
    assert hops.index(["ns0/eth0", "->"]) < hops.index(["ns1/eth0", "<-"])
    in_tunnel = next(line for line in asked if "a/eth0 " in line)
    assert "VXLAN vni 42 192.168.57.50 > 192.168.57.54:4789 ttl 64 | ARP who-has" in in_tunnel


def test_times_count_from_the_first_frame(used, monkeypatch):
    monkeypatch.setattr(failure_report, "LAST_FRAMES", 10)
    lines = last_frames_text(used).splitlines()[1:]
    seconds = [float(line.split()[0]) for line in lines]
    assert seconds == sorted(seconds)
    frames = recorded_frames(used)
    whole = (frames[-1].time_ns - frames[0].time_ns) / 1e9
    assert all(0 <= number <= whole + 1e-6 for number in seconds)


def test_tunnels_are_seen_on_the_ports_of_the_topology(fresh):
    assert fresh["a"].ping("172.18.1.3")
    assert "VXLAN vni 42 192.168.57.50 > 192.168.57.54:14789" in last_frames_text(fresh)


def test_no_frame_is_said(fresh):
    assert last_frames_text(fresh) == "(none)"


def test_only_the_last_are_told(fresh, monkeypatch):
    monkeypatch.setattr(failure_report, "LAST_FRAMES", 7)
    for number in range(10):
        fresh["a"].send_marked("172.18.1.255", b"%d" % number)  # nobody answers to that
    wait_until(
        lambda: (
            ("b", "vxlan0", b"9") in [(x.node, x.interface, x.mark) for x in recorded_frames(fresh)]
        ),
        "the last datagram to come out of the tunnel",
    )
    text = last_frames_text(fresh)
    lines = text.splitlines()
    count = len(recorded_frames(fresh))
    assert count > 10
    assert lines[0] == f"(the last 7 of {count} frames)"
    assert len(lines) == 8
    assert "marked b'9'" in text
    assert "marked b'0'" not in text


def test_what_was_lost_is_said(used, monkeypatch):
    monkeypatch.setattr(used.recorders["b"], "dropped", 3)
    monkeypatch.setattr(used.recorders["a"], "dropped", 4)
    last = last_frames_text(used).splitlines()[-1]
    assert last == "(7 more were lost: the recorder was not drained in time)"


def test_a_closed_lab_has_no_frames():
    with Lab(catalog.point_to_point(), recorder=True) as lab:
        assert lab["a"].ping("172.18.1.3")
    assert recorded_frames(lab) == []
    assert last_frames_text(lab) == "(none)"


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("test_x.py::test_it", "test_x.py_test_it"),
        ("tests/deep/test_x.py::TestIt::test_it", "tests_deep_test_x.py_TestIt_test_it-fda48898"),
        ("test_x.py::test_it[pimd-ipv6]", "test_x.py_test_it_pimd-ipv6-2c7f3d52"),
        ("test_x.py::test_it[hosts=2-no_vrf]", "test_x.py_test_it_hosts=2-no_vrf-82462028"),
    ],
)
def test_a_tests_name_as_a_files_name(test, name):
    assert file_name(test) == name


def test_names_of_different_tests_stay_different():
    base = "test_x.py::test_it"
    tests = [
        base,
        *(f"{base}[{param}]" for param in ("a/b", "a b", "a::b", "a:b", "a_b", "ä", "", "..")),
        *(f"{base}{'x' * length}[{end}]" for length in (140, 150, 400) for end in "ab"),
        *(f"{base}[{'x' * length}]" for length in (140, 150, 400)),
        *(
            "test_x.py::test_it_a",
            "test_x.py::test_it::a",
            "test_x.py_test::it",
            "test_x.py/test_it",
        ),
        *(
            "a/test_x.py::test_it",
            "a_test_x.py::test_it",
            "a/test/x.py::test_it",
            "test_x.py__test_it",
        ),
        *(
            "test_x.py::_test_it",
            "_test_x.py::test_it",
            "test_x.py::test_it_",
            "test_x.py::test::it",
        ),
    ]
    names = [file_name(test) for test in tests]
    assert len(set(names)) == len(tests)
    for name in names:
        assert len(f"{name}.pcapng") <= 200
        assert name.isascii()
        assert not set(name) & set("/: ")
        assert name.strip(".")


def test_frames_are_written_where_it_was_asked_for(used, tmp_path):
    from scapy.layers.inet import ICMP
    from scapy.utils import PcapNgReader

    folder, before = tmp_path / "not" / "there", len(recorded_frames(used))
    path = failure_report.write_frames(used, folder, "test_it")
    assert path == folder / "test_it.pcapng"
    with PcapNgReader(str(path)) as reader:
        packets = list(reader)
    assert before <= len(packets) <= len(recorded_frames(used))
    assert any(ICMP in packet for packet in packets)


def test_evidence_is_complete(used, tmp_path):
    from scapy.utils import PcapNgReader

    before = len(recorded_frames(used))
    folder = failure_report.write_evidence(used, tmp_path / "new", "test_it", "it failed: \udc80")
    assert folder == tmp_path / "new" / "test_it"
    files = {path.name: path for path in folder.iterdir()}
    assert set(files) == {"report.txt", "plan.txt", "frames.txt", "frames.pcapng", "state.json"}
    assert files["report.txt"].read_text(encoding="utf-8") == "it failed: \\udc80\n"
    assert files["plan.txt"].read_text() == "".join(f"{each}\n" for each in used.plan)
    assert "ICMP echo reply 172.18.1.3 > 172.18.1.2" in files["frames.txt"].read_text()
    states = json.loads(files["state.json"].read_text())
    assert list(states) == list(used)
    assert "172.18.1.3" in json.dumps(states["ns1"])
    with PcapNgReader(str(files["frames.pcapng"])) as reader:
        assert before <= len(list(reader)) <= len(recorded_frames(used))


def test_evidence_replaces_that_of_an_earlier_run(used, tmp_path):
    for report in ("the first, and a long one", "the second"):
        folder = failure_report.write_evidence(used, tmp_path, "test_it", report)
    assert (folder / "report.txt").read_text() == "the second\n"


def test_the_plan_has_what_was_applied_later_and_by_whom(fresh):
    plan = "".join(f"{each}\n" for each in fresh.plan)
    assert plan_text(fresh) == plan
    down, up = (SetLink("a", "vxlan0", up=value) for value in (False, True))
    fresh.apply(down, up)
    fresh.apply(up, by="iproute2")
    wrong = SetLink("a", "none", up=True)
    with pytest.raises(VxlabError):
        fresh.apply(wrong)
    head, rest = plan_text(fresh, control="all is lost").split(plan)
    assert head == "# under a control: all is lost\n"
    lines = rest.splitlines()
    assert lines[:-1] == [
        *("# applied to the lab as built, by netlink:", str(down), str(up)),
        *("# applied to the lab as built, by iproute2:", str(up)),
        *("# applied to the lab as built, by netlink:", str(wrong)),
    ]
    assert lines[-1].startswith("# ended early, VxlabError: ")


def test_the_plan_has_what_an_interceptor_made_of_it():
    def alter(operation: Operation) -> Operation | None:
        match operation:
            case AddAddress(interface="vxlan0"):
                return None
            case AddLink(name="vxlan0"):
                return dataclasses.replace(operation, mac="02:00:00:00:00:77")
        return operation

    lab = Lab(catalog.point_to_point(), recorder=True)
    lab.intercept(alter)
    with lab:
        lab.apply(AddAddress("a", "vxlan0", "10.9.9.9/24"))
        lines = plan_text(lab).splitlines()
    put_in = [line for line in lines if "02:00:00:00:00:77" in line]
    left_out = [line for line in lines if line.startswith("# left out by an interceptor: ")]
    assert len(put_in) == 2
    for line in put_in:
        before = lines[lines.index(line) - 1]
        assert before.startswith("# put in by an interceptor, in place of: ")
        assert before.split(": ", 1)[1] != line
    planned = [str(each) for each in lab.plan if isinstance(each, AddAddress)]
    assert [line.split(": ", 1)[1] for line in left_out[:-1]] == [
        each for each in planned if "vxlan0" in each
    ]
    assert lines[-1] == left_out[-1]
    assert "10.9.9.9/24" in lines[-1]


def test_a_lab_that_is_opened_again_begins_anew():
    lab = Lab(catalog.point_to_point())
    for _ in range(2):
        with lab:
            assert plan_text(lab) == "".join(f"{each}\n" for each in lab.plan)
            lab.apply(SetLink("a", "vxlan0", up=True))
