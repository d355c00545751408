"""Other plugins of pytest beside labs, with and without workers: the table in docs/plugins.md.

They come with the extra ``dev``, and pyproject.toml keeps them out of all other tests.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from plugin_tools import HEAD, counts
from project_tools import Project

LABS = """
import socket, time

def two_hosts():
    t = TopologyBuilder("two hosts")
    t.switch("lan", "10.0.0.0/24")
    t.segment("red", vni=42)
    for n in (1, 2):
        t.host(f"h{n}", "lan")
        t.vtep(f"h{n}", "red", addresses=f"172.16.0.{n}/24")
    return t

pytestmark = pytest.mark.topology(two_hosts())

def test_before(lab):
    assert lab["h1"].ping("172.16.0.2")

def test_names():
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with socket.create_server(("127.0.0.1", 4711)):  # no other worker has this port
        time.sleep(0)
"""

AFTER = """
def test_zz_after(lab):
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    assert lab["h2"].ping("172.16.0.1")
"""

WORKERS = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])


def run(
    project: Project, plugin: str, tests: str, *args: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, int]]:
    """Run labs, ``tests`` and a last lab with one more plugin; what pytest said, and its counts."""
    names = ("xdist", plugin, "vxlab.plugin.hooks")  # hooks of the last are called first
    plugins = [word for name in names for word in ("-p", name)]
    project.write("test_it.py", HEAD + LABS + tests + AFTER)
    done = project.call([sys.executable, "-m", "pytest", *plugins, *args])
    found = re.findall(
        r"(\d+) (passed|failed|error|rerun)", done.stdout.rstrip().rpartition("\n")[2]
    )
    assert "INTERNALERROR" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done, {word: int(number) for number, word in found}


@WORKERS
def test_rerunfailures_gives_each_run_a_lab_of_its_own(project, workers):
    tests = """
def test_flaky(lab, tmp_path_factory):
    lab["h1"].run("ip", "link", "add", "once", "type", "veth", "peer", "twice")
    first = os.path.join(os.path.dirname(__file__), "first")
    if not os.path.exists(first):
        open(first, "w").close()
        assert False, "the first time"
"""
    done, ended = run(project, "rerunfailures", tests, "--reruns=1", *workers)
    assert ended == {"passed": 4, "rerun": 1}, done.stdout + done.stderr


def test_rerunfailures_runs_a_test_again_whose_worker_died(project):
    tests = """
def test_deadly(lab):
    first = os.path.join(os.path.dirname(__file__), "first")
    if not os.path.exists(first):
        open(first, "w").close()
        os._exit(1)
"""
    done, ended = run(project, "rerunfailures", tests, "--reruns=1", "-n2")
    assert ended == {"passed": 4, "rerun": 1}, done.stdout + done.stderr


HANGING = """
@pytest.mark.timeout(3, method="{method}")
def test_hanging(lab):
    with lab["h1"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("172.16.0.1", 5000))
        sock.recv(99)  # which nobody sends
"""


@WORKERS
def test_timeout_by_a_signal_fails_the_test_and_not_its_neighbours(project, workers):
    done, ended = run(project, "timeout", HANGING.format(method="signal"), *workers)
    assert ended == {"passed": 3, "failed": 1}, done.stdout + done.stderr
    assert "Timeout (>3.0s) from pytest-timeout" in done.stdout


@WORKERS
def test_timeout_by_a_thread_ends_the_process_of_the_test(project, workers):
    done, ended = run(project, "timeout", HANGING.format(method="thread"), *workers)
    if workers:  # another worker takes its place; what the dead one wrote is lost
        assert ended == {"passed": 3, "failed": 1}, done.stdout + done.stderr
        assert "crashed while running 'test_it.py::test_hanging'" in done.stdout
    else:
        assert done.returncode == 1
        assert "+ Timeout +" in done.stdout + done.stderr
        assert "in test_hanging" in done.stdout + done.stderr
        assert "test_zz_after" not in done.stdout


@WORKERS
def test_randomly_runs_labs_in_any_order(project, workers):
    tests = """
@pytest.mark.parametrize("number", range(8))
def test_many(number):
    print(f"number {number}")
"""
    orders = []
    for seed in ("1", "2"):
        args = (f"--randomly-seed={seed}", "-rP", *workers)
        done, ended = run(project, "randomly", tests, *args)
        assert ended == {"passed": 11}, done.stdout + done.stderr
        orders.append(re.findall(r"number (\d)", done.stdout))
    assert workers or orders[0] != orders[1]


@WORKERS
def test_repeat_builds_a_lab_each_time(project, workers):
    tests = """
def test_fresh(lab):
    lab["h1"].run("ip", "link", "add", "once", "type", "veth", "peer", "twice")
"""
    done, ended = run(project, "pytest_repeat", tests, "--count=3", *workers)
    assert ended == {"passed": 12}, done.stdout + done.stderr


@WORKERS
def test_asyncio_runs_coroutines_in_labs(project, workers):
    tests = """
import asyncio

@pytest.mark.asyncio
async def test_a_coroutine(lab):
    with lab["h1"].socket(socket.AF_INET, socket.SOCK_DGRAM) as here, \\
            lab["h2"].socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        for one in (here, there):
            one.setblocking(False)
        there.bind(("172.16.0.2", 5000))
        loop = asyncio.get_running_loop()
        _, got = await asyncio.gather(
            loop.sock_sendto(here, b"hello", ("172.16.0.2", 5000)), loop.sock_recv(there, 99)
        )
        assert got == b"hello"
    assert await asyncio.to_thread(lab["h1"].ping, "172.16.0.2")
"""
    args = ("-o", "asyncio_default_fixture_loop_scope=function", *workers)
    done, ended = run(project, "asyncio", tests, *args)
    assert ended == {"passed": 4}, done.stdout + done.stderr


FAILING = """
def test_failing(lab):
    assert lab["h1"].ping("172.16.0.2") is None, "on purpose"
"""


@WORKERS
def test_html_has_the_state_of_a_failed_lab(project, workers):
    more = ("-p", "pytest_html.plugin", "-p", "pytest_metadata.plugin")
    args = (*more, "--html=report.html", "--self-contained-html", *workers)
    done, ended = run(project, "pytest_html.fixtures", FAILING, *args)
    assert ended == {"passed": 3, "failed": 1}, done.stdout + done.stderr
    page = (project.folder / "report.html").read_text()
    assert "on purpose" in page
    assert "vxlab: state of every node" in page
    assert "vxlab: last frames" in page


@WORKERS
def test_forked_gives_each_test_a_process(project, workers):
    args = ("-p", "pytest_forked", "--forked", "-W", "ignore")  # it leaves files open itself
    project.write("plain.py", "def test_plain(): pass")
    plain = project.call([sys.executable, "-m", "pytest", *args, "plain.py"])
    if plain.returncode:
        pytest.skip("this pytest-forked cannot run any test with this pytest, vxlab or not")
    tests = """
def test_deadly(lab):
    os.kill(os.getpid(), 11)
"""
    done, ended = run(project, "pytest_forked", tests, *args[2:], *workers)
    assert ended == {"passed": 3, "failed": 1}, done.stdout + done.stderr
    assert "CRASHED with signal 11" in done.stdout


@WORKERS
def test_allure_has_a_result_of_each_test(project, workers):
    args = ("--alluredir=allure", *workers)
    done, ended = run(project, "allure_pytest", FAILING, *args)
    assert ended == {"passed": 3, "failed": 1}, done.stdout + done.stderr
    results = [json.loads(path.read_text()) for path in project.folder.glob("allure/*-result.json")]
    assert sorted(result["status"] for result in results) == ["failed"] + ["passed"] * 3
    (failed,) = (result for result in results if result["status"] == "failed")
    assert "on purpose" in failed["statusDetails"]["message"]


@WORKERS
def test_all_of_them_installed_do_no_harm(project, workers):
    project.write("test_it.py", HEAD + LABS + AFTER)
    args = ("-o", "asyncio_default_fixture_loop_scope=function", *workers)
    command = [sys.executable, "-m", "pytest", *args]
    done = project.call(command, PYTEST_DISABLE_PLUGIN_AUTOLOAD="")
    assert counts(done) == {"passed": 3}
    assert "randomly" in done.stdout  # they are there
    assert done.returncode == 0
