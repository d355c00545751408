"""The error family: its tree, and that a message carries what the error was made from."""

from __future__ import annotations

import inspect

import pytest

from vxlab import errors
from vxlab.errors import (
    ApplyError,
    CapabilityError,
    CaptureError,
    CommandError,
    DaemonError,
    MissingProgram,
    SandboxError,
    TopologyError,
    VxlabError,
    WaitTimeout,
)

BRANCHES = " │├└─"
FAMILY = [each for _, each in inspect.getmembers(errors, inspect.isclass)]


def test_all_errors_of_the_module_are_of_the_family() -> None:
    assert len(FAMILY) >= 10
    assert all(issubclass(each, VxlabError) for each in FAMILY)


@pytest.mark.parametrize("error", FAMILY)
def test_the_tree_in_the_docstring_is_the_real_one(error: type[VxlabError]) -> None:
    lines = (errors.__doc__ or "").splitlines()
    drawn = {}
    for line in lines:
        words = line.strip(BRANCHES).split()
        if words and hasattr(errors, words[0]):
            drawn[words[0]] = (len(line) - len(line.lstrip(BRANCHES))) // 4
    assert drawn[error.__name__] == sum(issubclass(each, VxlabError) for each in error.__mro__)


def test_a_topology_error_names_node_and_field() -> None:
    error = TopologyError("host a", "mtu", "wanted 68 to 65535, found 5")
    assert str(error) == "host a: mtu: wanted 68 to 65535, found 5"
    assert (error.node, error.field) == ("host a", "mtu")
    assert error.problem == "wanted 68 to 65535, found 5"
    assert isinstance(error, ValueError)


def test_an_apply_error_carries_what_the_kernel_said() -> None:
    error = ApplyError("ip link add", "File exists (EEXIST)", errno=17, extack="It is there")
    assert str(error) == "ip link add: File exists (EEXIST) (It is there)"
    assert (error.operation, error.errno, error.extack) == ("ip link add", 17, "It is there")
    bare = ApplyError("iptables -A", "bad rule")
    assert str(bare) == "iptables -A: bad rule"
    assert (bare.errno, bare.extack) == (None, "")


def test_a_daemon_error_is_an_apply_error() -> None:
    assert isinstance(DaemonError("start pimd", "it died"), ApplyError)


def test_a_missing_program_names_its_package() -> None:
    error = MissingProgram("bridge", "iproute2")
    assert "'bridge'" in str(error)
    assert "install the package iproute2" in str(error)
    assert (error.program, error.package) == ("bridge", "iproute2")
    assert "install it, or extend PATH" in str(MissingProgram("own"))
    assert isinstance(error, CapabilityError)
    assert issubclass(SandboxError, CapabilityError)


def test_a_command_error_shows_command_code_and_output() -> None:
    error = CommandError("h1", ("ip", "link"), 255, "no such thing\n")
    assert str(error) == "h1: `ip link` ended with 255: no such thing"
    assert (error.node, error.argv, error.code) == ("h1", ("ip", "link"), 255)
    assert error.output == "no such thing\n"
    assert str(CommandError("h1", ("false",), 1, " \n")).endswith("ended with 1: no output")


def test_a_time_out_is_python_s_own_kind_too() -> None:
    assert issubclass(WaitTimeout, TimeoutError)
    assert not issubclass(CaptureError, TimeoutError)
