"""What a test needs and the machine does not give: skipped, failed, or the end of the run."""

from __future__ import annotations

import re

import pytest
from plugin_tools import PYTEST, counts, run
from sandbox_tools import BOXED

NEEDS = """
@pytest.mark.requires("vxlan")
def test_by_marker():
    pass

@pytest.mark.topology(catalog.point_to_point())
def test_by_lab(lab):
    pass
"""


@pytest.mark.parametrize("limit", [1, 2])
def test_too_few_namespaces_are_an_error_not_a_skip(project, limit):
    """One is the sandbox's own: a probe or a lab takes the others."""
    project.write("test_it.py", "import pytest\nfrom vxlab import catalog\n" + NEEDS)
    script = f'echo {limit} >/proc/sys/user/max_net_namespaces && exec "$@"'
    done = project.call([*BOXED, "sh", "-c", script, "sh", *PYTEST])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "skipped" not in counts(done)
    assert "wanted a network namespace" in done.stdout
    assert "sysctl user.max_net_namespaces" in done.stdout


FEW_FILES = """
import os, resource

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    here, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    more = item.callspec.params["more"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, most))

def pytest_runtest_teardown(item):
    here, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
"""


def test_too_few_descriptors_are_an_error_not_a_skip(project):
    project.write("conftest.py", "import pytest\n" + FEW_FILES)
    tests = """
@pytest.mark.requires("mroute", "mroute6", "vxlan.ttl", "pim", "ipv6")
@pytest.mark.parametrize("more", [0, 1, 2, 3, 4, 5, 6, 7])
def test_it(more):
    pass
"""
    done = run(project, tests)
    found = counts(done)
    assert set(found) == {"passed", "error"}, done.stdout
    assert "found none: wanted a network namespace for 'probe', found Too many open" in done.stdout
    assert "raise the limit (open files: `ulimit -n`; namespaces: " in done.stdout


PASSING = """
import errno
from vxlab.netlink.requests import NetlinkSocket

real = NetlinkSocket.request
LEFT = [1]

def request(self, requests):
    if LEFT:
        LEFT.pop()
        return {0: (errno.ENOMEM, "")}
    return real(self, requests)

NetlinkSocket.request = request
"""


def test_a_passing_lack_of_memory_is_an_error_and_is_not_remembered(project):
    project.write("conftest.py", PASSING)
    tests = """
@pytest.mark.requires("veth")
@pytest.mark.parametrize("number", [1, 2])
def test_it(number):
    pass
"""
    done = run(project, tests)
    assert counts(done) == {"passed": 1, "error": 1}
    assert (
        'wanted to know whether veth is here, found none: the kernel answered "Cannot allocate '
        'memory"; free some memory, and run it again'
    ) in done.stdout
    assert "Traceback" not in done.stdout


WITHOUT_PING = """
import dataclasses
from vxlab import features

real = features.probe

def probe(name):
    if name != "ping":
        return real(name)
    return dataclasses.replace(real(name), available=False, reason="taken away", hint="elsewhere")

features.probe = probe
"""
NEEDS_PING = """
import pathlib

def test_before():
    pass

@pytest.mark.requires("ping", "veth")
def test_needing():
    pathlib.Path("ran").touch()

def test_after():
    pathlib.Path("ran").touch()
"""


def test_a_required_feature_that_is_missing_ends_the_run(project):
    project.write("conftest.py", WITHOUT_PING)
    done = run(project, NEEDS_PING)
    assert done.returncode == 1
    assert not (project.folder / "ran").exists()
    sentence = r"needs ping: taken away; elsewhere \(`vxlab doctor` lists what is needed\)"
    assert re.search(rf"^!+ vxlab {sentence} !+$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"1 passed, 1 error in ", done.stdout)


def test_it_ends_the_run_on_workers_too(project):
    project.write("conftest.py", WITHOUT_PING)
    done = run(project, NEEDS_PING.replace("ran", "-"), "-p", "xdist.plugin", "-n", "2")
    assert done.returncode not in (0, 5)
    assert "vxlab needs ping: taken away; elsewhere" in done.stdout
    assert "skipped" not in done.stdout
