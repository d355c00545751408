"""Who refused what, and where: the kernel, ip itself, or an ip that does not work."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from iproute2_tools import by_ip, fake_iproute2  # noqa: F401  (the fixture fake)
from operation_cases import BR, MAC, VX
from refusal_cases import REFUSED

from vxlab.apply import batch
from vxlab.errors import ApplyError, MissingProgram, VxlabError
from vxlab.live.lab import Lab
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNeighbour,
    AddRoute,
    FlushFdb,
    Operation,
    Peer,
    SetLink,
    SetVxlan,
)
from vxlab.system import programs

# --- refusals --------------------------------------------------------------------------------

#: What newer versions of ip refuse before the kernel sees it, of the cases there, and their words.
OWN_CHECK = {"name too long": "not a valid ifname"}


@pytest.mark.parametrize(
    ("name", "before", "operation", "code"), [pytest.param(*r[:4], id=r[0]) for r in REFUSED]
)
def test_a_refusal_by_the_kernel_is_told_as_far_as_ip_tells_it(
    lab: Lab, name: str, before: list[Operation], operation: Operation, code: int
) -> None:
    lab.apply(*before)
    with pytest.raises(ApplyError) as by_netlink:
        lab.apply(operation)
    with pytest.raises(ApplyError) as caught:
        by_ip(lab, operation)
    error = caught.value
    assert error.operation == str(operation)
    assert str(error).startswith(f"{operation}: ")
    if by_netlink.value.extack and error.extack:  # ip prints nothing but that
        assert (error.errno, error.extack) == (None, by_netlink.value.extack)
        assert str(error).endswith(f": the kernel refused it ({error.extack})")
    elif error.errno:
        assert (error.errno, error.extack) == (code, by_netlink.value.extack)
        assert str(error) == str(by_netlink.value)
    else:
        assert OWN_CHECK[name] in str(error)


OWN: list[tuple[Operation, str]] = [
    (SetLink("h1", "eth7", up=True), 'Cannot find device "eth7"'),
    (AddAddress("h1", "eth0", "nonsense"), "any valid prefix is expected"),
    (AddRoute("h1", "default", via="router"), "address is expected rather than .router"),
    (AddFdb("h1", "vxlan0", "zz", "10.0.0.2"), "[Ii]nvalid mac address zz"),
    (AddFdb("h1", "vxlan0", MAC, "10.0.0.2", port=70000), '"70000" is wrong'),
    (AddFdb("h1", "vxlan0", MAC, "10.0.0.2", vni=-1), '"-1" is wrong'),
    (AddNeighbour("h1", "eth0", "10.0.0.256", MAC), '"10.0.0.256"'),
    (AddLink("h1", "x", "vxlan", 90, (("id", 1 << 24),)), '"16777216" is wrong: invalid id'),
    (AddLink("h1", "x", "vxlan", 90, (("ttl", 256),)), "TTL must be <= 255"),
    (AddLink("h1", "x", "vxlan", 90, (("external", True), ("id", 4))), "both 'external' and vni"),
    (
        AddLink("h1", "x", "vxlan", 90, (("id", 5), ("group", "239.1.1.1"))),
        "'group' requires 'dev'",
    ),
    (AddLink("h1", "x", "bridge", 90, (("imaginary", 1),)), "unknown (option|command) .imaginary"),
]


@pytest.mark.parametrize(("operation", "words"), OWN, ids=[words for _, words in OWN])
def test_a_refusal_by_ip_itself_is_told_in_its_words(
    lab: Lab, operation: Operation, words: str
) -> None:
    with pytest.raises(ApplyError, match=words) as caught:
        by_ip(lab, BR, operation, VX)
    error = caught.value
    assert error.operation == str(operation)
    assert (error.errno, error.extack) == (None, "")
    assert "Usage" not in str(error)
    assert "\n" not in str(error)
    assert "Command failed" not in str(error)
    names = {link.name for link in lab["h1"].state.links}
    assert "br" in names
    assert "vx" not in names


def test_hints_and_warnings_are_no_part_of_a_refusal(lab: Lab) -> None:
    quiet = AddLink("h1", "x", "vxlan", 90, (("id", 5),))  # without a port, of which ip says much
    with pytest.raises(ApplyError, match=r': Cannot find device "eth7"$'):
        by_ip(lab, quiet, SetLink("h1", "eth7", up=True))


def test_words_that_bridge_does_not_know_are_refused_without_its_usage(lab: Lab) -> None:
    with pytest.raises(ApplyError) as caught:
        by_ip(lab, FlushFdb("h1", "vxlan0"), AddFdb("h1", "vxlan0", MAC, flags=("imaginary",)))
    assert "Usage" not in str(caught.value)


BAD: list[tuple[str, Operation]] = [
    ("None for a name", SetLink("h1", None)),  # type: ignore[arg-type]
    ("a NUL", SetLink("h1", "a\0b", up=True)),
    ("no such attribute", SetVxlan("h1", "vxlan0", (("vni", 1),))),
    ("not an operation of its own", Operation("h1")),
]


@pytest.mark.parametrize("operation", [pytest.param(o, id=name) for name, o in BAD])
def test_what_fits_into_no_command_is_refused_in_the_family(lab: Lab, operation: Operation) -> None:
    with pytest.raises(ApplyError, match=r"wanted .*, found ") as caught:
        by_ip(lab, BR, operation, VX)
    assert "h1" in str(caught.value)
    names = {link.name for link in lab["h1"].state.links}
    assert "br" in names  # what came before
    assert "vx" not in names


def test_an_unknown_node_is_named_with_those_there_are(lab: Lab) -> None:
    peer = Peer("h9", "eth0", 5)
    for operation in (SetLink("h9", "eth0", up=True), AddLink("h1", "v", "veth", 90, peer=peer)):
        with pytest.raises(VxlabError, match="wanted the node 'h9', found lan, h1, h2"):
            by_ip(lab, BR, operation)
        assert "br" in {link.name for link in lab["h1"].state.links}
        lab["h1"].run("ip", "link", "del", "dev", "br")


# --- an ip that does not work ----------------------------------------------------------------

UP = SetLink("h1", "eth0", up=True)
DOWN = SetLink("h2", "eth0", up=False)

#: Reads one command, as ip does: one read of its input gets one line.
READ = "dd bs=4096 count=1 >/dev/null 2>&1;"

BROKEN: list[tuple[str, str, Operation, str]] = [
    ("crash", f"{READ} kill -SEGV $$", UP, r"ip died of SIGSEGV \(Segmentation fault\)$"),
    ("crash later", f"{READ} {READ} echo told >&2; kill -ABRT $$", BR, "SIGABRT .*: told$"),
    ("odd signal", f"{READ} kill -40 $$", UP, r"ip died of signal 40 \("),
    ("silence", f"{READ} {READ} exit 7", BR, "ip ended with 7, and printed nothing$"),
    ("noise", "head -c 300 /dev/urandom; exit 1", UP, "ip -n h1 link set dev eth0 up: "),
    (
        "empty",
        "exit 0",
        UP,
        "wanted ip to read its command, found that it did not: it printed nothing",
    ),
    ("other program", "echo hello", UP, "found that it did not: hello$"),
    (
        "line told",
        "cat >/dev/null; echo 'Command failed -:2'; exit 1",
        BR,
        "br.*and printed nothing$",
    ),
    ("line out of range", f"{READ} echo 'Command failed -:99'; exit 1", UP, "eth0 up: ip ended"),
    ("no interpreter", "#!/nonexistent/interpreter\n", UP, "ip cannot be run: "),
    ("no program", "#!", UP, "ip cannot be run: "),
    ("unknown number", "echo 'RTNETLINK answers: Unknown error 524'; exit 2", UP, "error 524$"),
    (
        "both",
        "echo 'Error: Too long.\nRTNETLINK answers: File exists'; exit 2",
        UP,
        r"\(Too long\)$",
    ),
]


@pytest.mark.parametrize(
    ("script", "blamed", "words"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN]
)
def test_an_ip_that_does_not_work_is_told_apart_from_a_refusal(
    lab: Lab, fake: Any, script: str, blamed: Operation, words: str
) -> None:
    fake(script)
    with pytest.raises(ApplyError, match=words) as caught:
        by_ip(lab, UP, BR, DOWN)
    assert caught.value.operation == str(blamed)


SAID: list[tuple[str, int, int | None, str]] = [
    ("RTNETLINK answers: File exists\nCommand failed -:1", 1, errno.EEXIST, ""),
    ("RTNETLINK answers: Operation not supported\nCommand failed -:1", 1, errno.EOPNOTSUPP, ""),
    ("Error: Cannot change VNI.\nCommand failed -:1", 1, None, "Cannot change VNI"),
    ("Error: Unknown device type.", 2, None, "Unknown device type"),
    ("Error: Too long.\nRTNETLINK answers: File exists", 2, errno.EEXIST, "Too long"),
    ("Warning: Odd.\nError: Bad.\nCommand failed -:1", 1, None, "Bad"),
    ('Error: argument "x" is wrong: bad', 255, None, ""),
    ('Error: argument of "x" must be "on" or "off"\nCommand failed -:1', 1, None, ""),
    ("Error: device x does not exist\nCommand failed -:1", 255, None, ""),
    ('Cannot find device "x"\nCommand failed -:1', 1, None, ""),
]


@pytest.mark.parametrize(("said", "code", "number", "extack"), SAID)
def test_who_refused_is_told_by_what_is_said(
    lab: Lab, fake: Any, said: str, code: int, number: int | None, extack: str
) -> None:
    fake(f"{READ}\ncat <<'END' >&2\n{said}\nEND\nexit {code}")
    with pytest.raises(ApplyError) as caught:
        by_ip(lab, UP)
    assert (caught.value.errno, caught.value.extack) == (number, extack)
    assert "Command failed" not in str(caught.value)
    assert "Warning" not in str(caught.value)


def test_an_ip_that_hangs_is_killed(lab: Lab, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough for a shell to begin on a busy machine.
    monkeypatch.setattr(batch, "DEADLINE", 3)
    fake(f"{READ} {READ} echo busy; exec sleep 1000")
    with pytest.raises(ApplyError, match=r"waited 3 s for ip to end, which said: busy; kill") as e:
        by_ip(lab, UP, BR, DOWN)
    assert e.value.operation == str(BR)
    assert "sleep" not in lab["h1"].run("ps", "-e").stdout


def test_an_ip_that_ends_well_after_some_commands_is_given_the_rest(
    lab: Lab, fake: Any, tmp_path: Path
) -> None:
    fake(f"dd bs=4096 count=1 2>/dev/null >> {tmp_path}/seen")
    by_ip(lab, UP, BR, UP)
    assert (tmp_path / "seen").read_text().splitlines() == [
        "link set dev eth0 up ",
        "link add dev br index 93 type bridge ",
        "link set dev eth0 up ",
    ]


def test_a_missing_ip_is_named_with_its_package(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_iproute2", None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "SYSTEM_PATH", ())
    with pytest.raises(MissingProgram, match="install the package iproute2"):
        by_ip(lab, UP)
