"""Namespaces of a node: made, entered, programs in them, and gone without a trace."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from resource_tools import nothing_left, resources

from vxlab.errors import MissingProgram, SandboxError, VxlabError
from vxlab.observe import packetsocket
from vxlab.system import namespaces
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until

HOME = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "uts", "mnt", "pid")}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Namespaces]:
    with nothing_left(tmp_path / "temp"), Namespaces("n1") as node:
        yield node


def run(node: Namespaces, *argv: str) -> str:
    process = node.popen(argv)
    output, complaint = process.communicate(timeout=30)
    assert process.returncode == 0, complaint
    return str(output)


def here() -> dict[str, str]:
    return {kind: os.readlink(f"/proc/thread-self/ns/{kind}") for kind in HOME}


def test_the_caller_stays_where_it_is(node: Namespaces) -> None:
    assert here() == HOME
    with node.entered():
        assert here()["net"] != HOME["net"]
        assert {**here(), "net": ""} == {**HOME, "net": ""}
    assert here() == HOME
    node.popen(["true"]).communicate()
    assert here() == HOME


def test_the_caller_is_home_after_an_error_too(node: Namespaces) -> None:
    with pytest.raises(KeyError), node.entered():
        raise KeyError
    assert here() == HOME


def test_entering_a_node_from_within_another(node: Namespaces) -> None:
    with Namespaces("n2") as other, node.entered():
        outer = here()
        with other.entered():
            assert here()["net"] not in (outer["net"], HOME["net"])
        assert here() == outer


def test_a_new_node_has_lo_alone_and_it_is_down(node: Namespaces) -> None:
    with node.entered():
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
    assert node.read("/proc/thread-self/net/dev").count(":") == 1


def test_its_name_is_its_host_name(node: Namespaces) -> None:
    assert run(node, "uname", "-n") == "n1\n"
    assert socket.gethostname() != "n1"


def test_sockets_belong_to_the_node_wherever_they_are_used(node: Namespaces) -> None:
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 5))
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("0.0.0.0", 4789))
        with Namespaces("n2") as other, other.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
            two.bind(("0.0.0.0", 4789))
        assert " 00000000:12B5 " in node.read("/proc/thread-self/net/udp")


def test_settings_are_the_node_s_own(node: Namespaces) -> None:
    path = "/proc/sys/net/ipv4/ip_forward"
    before = Path(path).read_text()
    node.write(path, "1")
    assert node.read(path) == "1\n"
    node.write(path, "0")
    assert node.read(path) == "0\n"
    assert Path(path).read_text() == before
    with pytest.raises(OSError, match="Invalid argument"):
        node.write(path, "many")
    with pytest.raises(FileNotFoundError):
        node.read("/proc/sys/net/no_such")


def test_programs_see_their_own_proc_sys_and_run(node: Namespaces) -> None:
    assert run(node, "ls", "/sys/class/net") == "lo\n"
    run(node, "touch", "/run/mine")
    assert "mine" in run(node, "ls", "/run").split()
    assert not Path("/run/mine").exists()
    pids = [int(name) for name in run(node, "ls", "/proc").split() if name.isdigit()]
    assert pids[0] == 1
    assert len(pids) == 2  # process 1 and ls itself
    with Namespaces("n2") as other:
        assert "mine" not in run(other, "ls", "/run").split()


def test_programs_see_the_files_and_the_folder_of_the_caller(
    node: Namespaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("text")
    assert run(node, "cat", "file") == "text"
    assert run(node, "pwd") == f"{tmp_path}\n"
    Path("deeper").mkdir()
    monkeypatch.chdir("deeper")
    assert run(node, "pwd") == f"{tmp_path}/deeper\n"
    Path.cwd().rmdir()
    assert run(node, "pwd") == "/\n"


def test_in_mounts(node: Namespaces) -> None:
    assert run(node, "touch", "/run/mine") == ""
    assert "mine" in node.in_mounts(lambda: os.listdir("/run"))
    assert node.in_mounts(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        node.in_mounts(lambda: 1 // 0)
    assert "mine" not in os.listdir("/run")


def test_streams_environment_and_text(node: Namespaces) -> None:
    process = node.popen(["cat"], stdin=subprocess.PIPE)
    assert process.communicate("in and out") == ("in and out", "")
    process = node.popen(["sh", "-c", "echo $A; echo bad >&2"], env={"A": "b"})
    assert process.communicate() == ("b\n", "bad\n")
    process = node.popen(["printf", r"\377\n"], text=False)
    assert process.communicate()[0] == b"\xff\n"
    process = node.popen(["printf", r"a\377b"])
    assert process.communicate()[0] == "a\ufffdb"


def test_the_name_a_program_is_started_by(node: Namespaces) -> None:
    process = node.popen(["sh", "-c", "echo $0"], argv0="other")
    assert process.communicate()[0] == "other\n"


def test_a_missing_program_starts_nothing(node: Namespaces) -> None:
    before = resources()
    with pytest.raises(MissingProgram, match="'no-such-program'"):
        node.popen(["no-such-program"])
    assert resources() == before


def test_without_unshare_there_is_no_first_process(
    node: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("vxlab.system.programs.SYSTEM_PATH", ())
    with pytest.raises(MissingProgram, match=r"'unshare'.*util-linux"):
        node.popen([sys.executable, "-c", ""])


def test_a_node_that_gets_no_proc_of_its_own_says_so(
    node: Namespaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\nexit 32\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SandboxError, match=r"n1: wanted a /proc of its own, unshare refused it"):
        node.popen(["true"])


def test_closing_ends_all_programs(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        node = Namespaces("n1")
        ready = "trap '' TERM HUP INT; sleep 1000 & echo ready; sleep 1000"
        with node.popen(["sh", "-c", ready]) as process:
            assert process.stdout.readline() == "ready\n"
            node.close()
            assert process.returncode == -9
        node.close()


def test_closing_ends_programs_that_left_their_session(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        node = Namespaces("n1")
        with node.popen(["setsid", "--fork", "sh", "-c", "echo ready; sleep 1000"]) as process:
            assert process.stdout.readline() == "ready\n"
            node.close()


def test_a_program_that_was_waited_for_is_forgotten(node: Namespaces) -> None:
    process = node.popen(["true"])
    process.communicate()
    node.popen(["true"]).communicate()
    gone = weakref.ref(process)
    del process
    wait_until(lambda: gone() is None, "the process object to go")


def test_a_closed_node_refuses_everything(tmp_path: Path) -> None:
    node = Namespaces("n1")
    assert not node.closed
    node.close()
    node.close()
    assert node.closed
    for use in (
        lambda: node.entered().__enter__(),
        lambda: node.socket(socket.AF_INET, socket.SOCK_DGRAM),
        lambda: node.read("/proc/self/stat"),
        lambda: node.write("/proc/sys/net/ipv4/ip_forward", "1"),
        lambda: node.popen(["true"]),
        lambda: node.in_mounts(os.getpid),
    ):
        with pytest.raises(VxlabError, match="n1: wanted to use the node, found its lab already"):
            use()
    assert here() == HOME


def test_its_path_leads_other_programs_into_it(node: Namespaces) -> None:
    found = subprocess.run(
        ["readlink", f"/proc/{os.getpid()}/fd/{node.net}"], capture_output=True, text=True
    )
    with node.entered():
        inside = os.readlink("/proc/thread-self/ns/net")
    assert found.stdout.strip() == inside
    assert os.readlink(node.path()) == inside


def test_many_threads_at_once(node: Namespaces) -> None:
    def work(number: int) -> tuple[str, str]:
        with node.entered():
            inside = os.readlink("/proc/thread-self/ns/net")
        return inside, run(node, "echo", str(number))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(24)))
    assert len({inside for inside, _ in found}) == 1
    assert [said for _, said in found] == [f"{number}\n" for number in range(24)]


def test_nodes_made_by_several_threads(tmp_path: Path) -> None:
    def work(number: int) -> str:
        with Namespaces(f"n{number}") as node:
            return run(node, "uname", "-n")

    with nothing_left(tmp_path / "temp"), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(12))) == [f"n{n}\n" for n in range(12)]
        pool.shutdown()


def test_the_launcher_goes_home_with_the_last_node_it_was_in(tmp_path: Path) -> None:
    with Namespaces("n1") as one, Namespaces("n2") as two:
        run(one, "true")
        run(two, "true")
        assert namespaces._get_launcher().visited is two
        one.close()
        assert namespaces._get_launcher().visited is two
    assert namespaces._get_launcher().visited is None
    assert namespaces._get_launcher().call(here) == HOME


def in_child(code: str, *wrapper: str) -> str:
    """The output of a Python program in a process of its own."""
    argv = [*wrapper, sys.executable, "-W", "error", "-c", code]
    root = str(Path(namespaces.__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


ATTEMPT = """
import os
from vxlab.system.namespaces import Namespaces
from vxlab.errors import SandboxError
before = os.listdir("/proc/self/fd")
try:
    Namespaces("n1")
except SandboxError as error:
    print(error)
assert os.listdir("/proc/self/fd") == before
"""


def test_without_the_right_to_make_namespaces() -> None:
    said = in_child(ATTEMPT, "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert (
        "wanted a network namespace for 'n1', found no permission to make one: run inside" in said
    )


def test_at_the_limit_of_namespaces() -> None:
    limit = "with open('/proc/sys/user/max_net_namespaces', 'w') as file:\n    file.write('1')\n"
    said = in_child(limit + ATTEMPT, "unshare", "--user", "--map-root-user", "--net", "--uts")
    assert "No space left on device: raise the limit" in said
    assert "user.max_net_namespaces" in said


@pytest.mark.parametrize("spare", range(6))
def test_at_the_limit_of_open_files(spare: int) -> None:
    """Whichever descriptor is one too many, the ones before it are closed again."""
    packetsocket.settle()  # captures of the test before may still be closing
    used = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filler = [os.dup(0) for _ in range(64)]  # so that the limit is not among low free numbers
    try:
        top = max(filler)
        for fd in filler[64 - spare :]:
            os.close(fd)
        del filler[64 - spare :]
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, hard))
        before = set(os.listdir("/dev/fd")) if spare else None
        said = ""
        try:
            Namespaces("n1").close()
        except SandboxError as error:
            said = str(error)
        assert bool(said) == (spare < 4)
        assert "Too many open files: raise the limit (open files: `ulimit -n`" in said or not said
        if before is not None:
            assert set(os.listdir("/dev/fd")) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filler:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == used
    assert here() == HOME
