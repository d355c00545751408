"""The plugin's options, and what is told of a test that failed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from plugin_tools import NO_SANDBOX, counts, part, run

from vxlab import Lab, catalog
from vxlab.errors import VxlabError
from vxlab.explain import failure_report
from vxlab.plugin import evidence, evidence_names

OPTIONS = """
def built(router=None, family=4, port=0):
    return catalog.bridged(family=family)

@pytest.mark.topology(built, router=["smcroute", "pimd", None], family=[4, 6])
def test_all(topology):
    pass

@pytest.mark.topology(built, family=[6])
@pytest.mark.topology(built, router="smcroute")
def test_mixed(topology):
    pass

@pytest.mark.topology(built, family=4)
def test_only_ipv4(topology):
    pass

@pytest.mark.topology(built, family=[6])
def test_only_ipv6(topology):
    pass

@pytest.mark.topology(built, port=4789)
def test_any(topology):
    pass

@pytest.mark.topology(built, port=4789)
def test_lab(lab):
    pass
"""
ALL = [f"test_all[{one}-ipv{two}]" for one in ("smcroute", "pimd", "router=None") for two in (4, 6)]
MIXED = ["test_mixed[ipv6]", "test_mixed[built-smcroute]"]


@pytest.mark.parametrize(
    ("options", "ran"),
    [
        ((), [*ALL, *MIXED, "test_only_ipv4", "test_only_ipv6[ipv6]"]),
        (
            ("--vxlab-router=pimd", "--vxlab-family=6"),
            ["test_all[pimd-ipv6]", MIXED[0], None, "test_only_ipv6[ipv6]"],
        ),
        (("--vxlab-family", "4"), [*ALL[::2], MIXED[1], "test_only_ipv4", None]),
    ],
)
def test_options_leave_out_topologies(project, options, ran):
    """None stands for a test that is skipped.

    Without a sandbox, which a topology does not need, and a lab asks for.
    """
    done = run(project, OPTIONS, *NO_SANDBOX, *options)
    found = re.findall(r"^test_it\.py::(.*?) PASSED", done.stdout, re.MULTILINE)
    assert found == [*filter(None, ran), "test_any"]
    skipped = re.findall(
        r"^SKIPPED \[1\] test_it.py:\d+: left out by --vxlab-router or --vxlab-family$",
        done.stdout,
        re.MULTILINE,
    )
    assert len(skipped) == ran.count(None)
    assert counts(done).get("skipped", 0) == len(skipped)
    assert counts(done)["error"] == 1
    assert "SandboxError: wanted a sandbox round this test run, found none" in done.stdout


PCAP = """
pytestmark = pytest.mark.topology(catalog.point_to_point())

@pytest.mark.topology(catalog.point_to_point, port=[4789, 14789])
def test_talk(lab, tmp_path):
    os.chdir(tmp_path)  # which must not move the files
    assert lab["a"].ping("172.18.1.3")

def test_failing(lab):
    assert not lab["a"].ping("172.18.1.3")

def test_silent(lab):
    lab.close()

def test_no_lab(topology):
    pass
"""


def test_frames_of_every_test_are_kept(project):
    from scapy.layers.inet import ICMP
    from scapy.utils import PcapNgReader

    done = run(project, PCAP, "--vxlab-pcap", "frames/deep")
    assert counts(done) == {"passed": 4, "failed": 1}
    found = {}
    for path in (project.folder / "frames" / "deep").iterdir():
        with PcapNgReader(str(path)) as reader:
            found[path.name] = sum(ICMP in packet for packet in reader)
    assert {name: number > 0 for name, number in found.items()} == {
        "test_it.py_test_talk_port=4789-98900350.pcapng": True,
        "test_it.py_test_talk_port=14789-d8940928.pcapng": True,
        "test_it.py_test_failing.pcapng": True,
        "test_it.py_test_silent.pcapng": False,
    }


FAILING = """
pytestmark = pytest.mark.topology(catalog.bridged())

def talk(lab):
    assert lab["ns0"].ping("172.18.1.3")

def test_failing(lab):
    talk(lab)
    assert not "a test"

@pytest.fixture
def prepared(lab):
    talk(lab)
    assert not "a fixture"

def test_prepared(prepared):
    pass

@pytest.fixture
def checked(lab):
    yield
    assert not "at its end"

def test_checked(checked):
    pass

@pytest.mark.xfail(strict=True)
def test_expected(lab):
    assert False

def test_closed(lab):
    lab.close()
    assert not "after closing"

def test_passing(lab):
    talk(lab)

def test_unopened(monkeypatch, request):
    monkeypatch.setattr("vxlab.apply.site.Site.wait_for_links", lambda _: 1 / 0)
    request.getfixturevalue("lab")
"""


@pytest.mark.parametrize("args", [(), ("-p", "xdist.plugin", "-n2")], ids=["alone", "workers"])
def test_a_failure_shows_every_nodes_state_and_the_last_frames(project, args):
    done = run(project, FAILING, "--vxlab-evidence=kept", *args)
    assert counts(done) == {"failed": 3, "passed": 2, "xfailed": 1, "error": 2}
    assert len(re.findall(r"^-+ vxlab: state of every node -+$", done.stdout, re.M)) == 2
    for chapter, says in (
        ("test_failing", "a test"),
        ("ERROR at setup of test_prepared", "a fixture"),
    ):
        text = part(done.stdout, chapter)
        assert f"assert not '{says}'" in text
        head, _, state = text.partition(" vxlab: state of every node -")
        state, _, frames = state.partition(" vxlab: last frames -")
        assert re.findall(r"^--- (.*)$", state, re.M) == ["a", "b", "ns0", "ns1"]
        assert "vxlan id 42" in state
        assert "b/eth0                   <- VXLAN vni 42 192.168.57.50 > " in frames
        assert "ICMP echo request 172.18.1.2 > 172.18.1.3" in frames
        assert " vxlab: " not in head
    kept = project.folder / "kept"
    assert {path.name for path in kept.iterdir()} == {
        "test_it.py_test_failing",
        "test_it.py_test_prepared",
    }
    assert "assert not 'a fixture'" in (kept / "test_it.py_test_prepared/report.txt").read_text()
    states = json.loads((kept / "test_it.py_test_failing/state.json").read_text())
    assert list(states) == ["a", "b", "ns0", "ns1"]


@pytest.mark.parametrize("error", [VxlabError("out of sight"), RuntimeError("a mistake")])
def test_a_failure_is_never_lost_for_want_of_evidence(tmp_path, monkeypatch, error):
    def refuse(*_: object) -> str:
        raise error

    (tmp_path / "file").touch()
    config = SimpleNamespace(
        getoption=lambda _: Path("file", "folder"),
        invocation_params=SimpleNamespace(dir=tmp_path),
        pluginmanager=SimpleNamespace(hasplugin=lambda _: False),
    )
    item = SimpleNamespace(
        config=config, nodeid="test_it.py::test_it", stash=pytest.Stash(), user_properties=[]
    )
    monkeypatch.setattr(evidence_names, "name", lambda _: "test_it")
    monkeypatch.setattr(evidence.controls, "active_control", lambda _: None)
    report = SimpleNamespace(sections=[], longreprtext="the failure")
    monkeypatch.setattr(failure_report, "states_text", refuse)
    with Lab(catalog.point_to_point(), recorder=True) as lab:
        evidence.add(item, lab, report)  # type: ignore[arg-type]
    (state, frames, kept) = report.sections
    assert state == ("vxlab: state of every node", f"none: {type(error).__name__}: {error}")
    assert frames == ("vxlab: last frames", "(none)")
    assert kept[0] == "vxlab: evidence"
    assert kept[1].startswith("none: NotADirectoryError: ")
