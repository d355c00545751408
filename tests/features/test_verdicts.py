"""Only what the kernel says of a missing thing means "missing"; all else is an error."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from feature_tools import write_program

from vxlab import features
from vxlab.errors import ApplyError, ProbeError, SandboxError
from vxlab.features import attributes, iproute2, kernel, tools, verdicts
from vxlab.features.model import Check, Feature
from vxlab.netlink.requests import NetlinkSocket
from vxlab.system import programs
from vxlab.system.namespaces import Namespaces

#: What kernels answer where something is missing.
MISSING = (
    *(errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL, errno.ENODEV, errno.ENOPROTOOPT, errno.ERANGE),
    *(errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT, errno.EPFNOSUPPORT),
    *(errno.EADDRNOTAVAIL, errno.ENOSYS),
)
#: What they answer where they have too little just now, or where rights are refused.
NO_ANSWER = (
    *(errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EAGAIN, errno.EBUSY),
    *(errno.ENOBUFS, errno.EUSERS, errno.EINTR, errno.EPERM, errno.EACCES),
)


def check(attempt: Callable[[], str]) -> Check:
    return Check(name="thing", title="a thing", attempt=attempt, hint="get one")


def tried(error: Exception) -> Feature:
    def attempt() -> str:
        raise error

    return check(attempt).feature()


@pytest.mark.parametrize("code", sorted(errno.errorcode), ids=errno.errorcode.get)
def test_only_the_answers_of_the_table_mean_missing(code: int) -> None:
    for error in (OSError(code, "x"), ApplyError("add", "x", errno=code)):
        if code in verdicts.LACKING:
            found = tried(error)
            assert (found.available, found.hint) == (False, "get one")
        else:
            with pytest.raises(ProbeError) as caught:
                tried(error)
            assert os.strerror(code) in str(caught.value)


def test_the_table_has_what_kernels_answer_and_no_lack_of_anything() -> None:
    assert set(MISSING) | {verdicts.ENOTSUPP} == set(verdicts.LACKING)
    assert not set(NO_ANSWER) & set(verdicts.LACKING)
    assert all(verdicts.LACKING.values())


@pytest.mark.parametrize("code", NO_ANSWER, ids=errno.errorcode.get)
def test_what_is_no_answer_says_what_to_do(code: int) -> None:
    with pytest.raises(
        ProbeError, match=r"^wanted to know whether thing is here, found none: .+; "
    ):
        tried(OSError(code, "x"))
    assert code in verdicts.REFUSED or code in verdicts.SHORT


@pytest.mark.parametrize(
    "error",
    [OSError("no number"), TimeoutError("timed out"), ApplyError("add", "x"), SandboxError("no")],
    ids=repr,
)
def test_an_error_without_a_number_is_no_answer(error: Exception) -> None:
    with pytest.raises(ProbeError, match=str(error)):
        tried(error)


def test_what_is_no_answer_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[OSError] = [OSError(errno.ENOMEM, "x")]

    def attempt() -> str:
        if errors:
            raise errors.pop()
        return ""

    monkeypatch.setattr(features, "_CHECKS", {"thing": check(attempt)})
    monkeypatch.setattr(features, "probe", features.probe.__wrapped__)
    with pytest.raises(ProbeError):
        features.probe("thing")
    assert features.probe("thing").available


def test_people_are_shown_that_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt() -> str:
        raise OSError(errno.EMFILE, "x")

    monkeypatch.setattr(features, "_CHECKS", {"unknown-thing": check(attempt)})
    (found,) = features.survey(["unknown-thing"])
    assert (found.available, found.known) == (False, False)
    assert "ulimit -n" in found.hint


@pytest.mark.parametrize("name", ["veth", "vxlan.ttl", "vxlan.mcroute", "ip.ttl", "netem"])
def test_a_kernel_that_is_short_of_memory_lacks_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = NetlinkSocket.request

    def short(self: NetlinkSocket, requests: list) -> dict:
        real(self, requests)
        return {0: (errno.ENOMEM, "")}

    monkeypatch.setattr(NetlinkSocket, "request", short)
    every = (*kernel.CHECKS, *attributes.CHECKS, *iproute2.CHECKS)
    (found,) = (each for each in every if each.name == name)
    with pytest.raises(ProbeError, match="Cannot allocate memory"):
        found.feature()


def test_a_malformed_device_that_memory_is_short_for_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second device of an attribute that is never sent back."""
    real = NetlinkSocket.request

    def short(self: NetlinkSocket, requests: list) -> dict:
        answers = real(self, requests)
        return {0: (errno.ENOMEM, "")} if b"malformed" in requests[0].body else answers

    monkeypatch.setattr(NetlinkSocket, "request", short)
    monkeypatch.setattr(attributes.devices, "kind_attributes", lambda namespaces, index: {})
    (found,) = (each for each in attributes.CHECKS if each.name == "vxlan.ttl")
    with pytest.raises(ProbeError, match="Cannot allocate memory"):
        found.feature()


def test_too_few_descriptors_are_no_lack_of_multicast_routing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(kernel.Namespaces, "socket", refuse)
    with pytest.raises(ProbeError, match="ulimit -n"):
        check(kernel._multicast_routing(4)).feature()


ENDINGS = {
    "memory": ('echo "RTNETLINK answers: Cannot allocate memory"; exit 2', "Cannot allocate"),
    "files": ('echo "Cannot open netlink socket: Too many open files"; exit 1', "ulimit -n"),
    "processes": ('echo "fork: Resource temporarily unavailable"; exit 1', "ulimit -u"),
    "killed": ("kill -KILL $$", "was killed"),
    "hangs": ("exec sleep 1000", "did not end in time"),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "attempt",
    [
        kernel._firewall_rule("tool", "-A"),
        iproute2._minds("vni"),
        iproute2._takes("neigh"),
        iproute2._json,
        lambda: tools._attempt("tool", "-V"),
    ],
    ids=["rule", "bridge", "ip", "json", "version"],
)
def test_a_program_that_could_not_do_its_work_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, attempt: Callable[[], str], ending: str
) -> None:
    text, said = ENDINGS[ending]
    with Namespaces("probe") as real:
        real.popen(["true"]).communicate()  # its first process is made by the real unshare
        monkeypatch.setattr(kernel, "scratch", lambda: real)
        monkeypatch.setattr(iproute2, "scratch", lambda: real)
        for name in ("tool", "ip", "bridge", "unshare"):
            write_program(tmp_path, name, f"#!/bin/sh\n{text}\n")
        monkeypatch.setattr(programs, "_iproute2", str(tmp_path))
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        for module in (verdicts, iproute2.batch):
            monkeypatch.setattr(module, "DEADLINE", 0.3 if ending == "hangs" else 60)
        with pytest.raises(ProbeError, match=None if attempt is iproute2._json else said):
            check(attempt).feature()


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (f"sys.exit({errno.ENOMEM})", "Cannot allocate memory"),
        (f"sys.exit({errno.EAGAIN})", "temporarily unavailable"),
        ("os.kill(os.getpid(), 9)", "was killed"),
    ],
)
def test_user_namespaces_that_could_not_be_tried_are_no_answer(
    monkeypatch: pytest.MonkeyPatch, ending: str, said: str
) -> None:
    monkeypatch.setattr(kernel, "_UNSHARE", f"import os, sys\n{ending}")
    with pytest.raises(ProbeError, match=said):
        check(kernel._user_namespaces).feature()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSPC, errno.EINVAL])
def test_user_namespaces_that_are_refused_are_missing(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(kernel, "_UNSHARE", f"import sys\nsys.exit({number})")
    found = check(kernel._user_namespaces).feature()
    assert not found.available
    assert os.strerror(number) in found.reason


def test_a_program_that_dies_of_itself_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_program(tmp_path, "tool", "#!/bin/sh\nkill -SEGV $$\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = check(lambda: tools._attempt("tool", "-V")).feature()
    assert not found.available
    assert "it died of Segmentation fault" in found.reason
