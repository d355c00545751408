"""A program that the fork server runs is as if a new Python had run it.

Server and clients are processes of this machine; test_boots.py has those of a guest.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vxlab.system.waiting import wait_until
from vxlab.vm import forkserver

SERVER = """if True:
    import random, socket, sys, tempfile
    from vxlab.vm import forkserver
    tempfile.gettempdir()  # of the server: no program may get it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(sys.argv[1])
    listener.listen()
    forkserver.faults_to = sys.argv[1] + ".faults"
    forkserver.execute(forkserver.listen(listener))
"""
CLIENT = (
    "import sys; from vxlab.vm import forkserver; forkserver.PLACE = sys.argv[1]; "
    "forkserver.run_on_server(sys.argv[2:])"
)
#: What tells who runs it: a new Python has not imported this.
SERVED = "'vxlab.vm.forkserver' in __import__('sys').modules"


class Server:
    """A running server, and how to ask it."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "socket"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        own = {**self.env, "OF_THE_SERVER": "1"}
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, self.place], env=own)
        wait_until(self.place.exists, "the server to listen")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", CLIENT, str(self.place), *words]

    def start(self, *words: str, **options: object) -> subprocess.Popen[str]:
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(self.command(*words), **{"env": self.env, **piped, **options})

    def run(self, *words: str, prefix: tuple[str, ...] = (), **options: object):
        options = {"env": self.env, "capture_output": True, "text": True, **options}
        return subprocess.run([*prefix, *self.command(*words)], check=False, **options)


@pytest.fixture
def server(tmp_path):
    found = Server(tmp_path)
    yield found
    found.process.kill()
    found.process.wait()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGSEGV, [{"guest": "fault", "value": 11}]),
        (signal.SIGABRT, [{"guest": "fault", "value": 6}]),
        (signal.SIGKILL, None),
        (signal.SIGTERM, None),
        (0, None),
    ],
)
def test_a_death_that_should_not_be_is_reported(server, number, told):
    done = server.run("-c", f"import os; {number} and os.kill(os.getpid(), {int(number)})")
    assert done.returncode == -number
    faults = server.place.with_name("socket.faults")
    found = [json.loads(x) for x in faults.read_text().splitlines()] if faults.exists() else None
    assert found == told


FACTS = """if True:
    import json, os, resource, sys, tempfile
    print(json.dumps({
        "served": %s, "argv": sys.argv, "orig": sys.orig_argv, "cwd": os.getcwd(),
        "path": sys.path[0], "env": dict(os.environ), "umask": os.umask(0), "name": __name__,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE), "stdin": sys.stdin.read(),
        "write": sys.dont_write_bytecode, "fds": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
        "temp": tempfile.gettempdir(), "leader": os.getsid(0) == os.getpid(),
    }))
""" % (SERVED,)  # noqa: UP031


def test_a_program_has_all_that_its_client_has(server, tmp_path):
    env = {**server.env, "PYTHONPATH": "/one:/two", "TMPDIR": str(tmp_path), "OWN": "ä"}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    limited = ("sh", "-c", 'umask 0137; ulimit -S -n 123; exec "$@"', "sh")
    (tmp_path / "below").mkdir()
    done = server.run(
        "-c", FACTS, "a b", "", prefix=limited, env=env, cwd=tmp_path / "below", input="read"
    )
    facts = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert facts["served"]
    assert facts["argv"] == ["-c", "a b", ""]
    assert facts["orig"] == ["python3", "-P", "-c", FACTS, "a b", ""]
    assert (facts["cwd"], facts["path"]) == (str(tmp_path / "below"), "/one")
    assert {key: value for key, value in facts["env"].items() if key in env} == {
        **env,
        "PWD": facts["env"]["PWD"],
    }
    assert "OF_THE_SERVER" not in facts["env"]
    assert facts["umask"] == 0o137
    assert facts["files"][0] == 123
    assert facts["stdin"] == "read"
    assert facts["write"]
    assert facts["fds"] == [0, 1, 2]
    assert facts["temp"] == str(tmp_path)
    assert facts["name"] == "__main__"
    assert facts["leader"]


@pytest.mark.parametrize(
    ("code", "ends", "says"),
    [
        ("print('whole', end='')", 0, "whole"),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('why')", 1, "why"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os; os._exit(7)", 7, ""),
        ("import atexit; atexit.register(print, 'at last')", 0, "at last"),
        ("import os; os.kill(os.getpid(), 15)", -15, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import sys; print(sys.stdin.read())", 0, "from stdin"),
    ],
)
def test_a_program_ends_as_python_does(code, ends, says, server):
    done = server.run("-c", f"assert {SERVED}; {code}", input="from stdin")
    assert done.returncode == ends
    assert says in done.stdout + done.stderr


def test_a_module_is_run_as_the_main_one(server, tmp_path):
    (tmp_path / "own.py").write_text(
        "import sys; sys.modules['__main__'].x = 1; print(__name__, sys.argv[1:], x)"
    )
    env = {**server.env, "PYTHONPATH": str(tmp_path)}
    done = server.run("-m", "own", "a", env=env)
    assert done.stdout == "__main__ ['a'] 1\n", done.stderr
    assert server.run("-m", "no_such_module").returncode == 1


def test_two_programs_draw_other_numbers(server):
    drawn = [server.run("-c", "import random; print(random.random())").stdout for _ in range(2)]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("number", forkserver.PASSED_ON)
def test_a_signal_reaches_the_program(number, server):
    code = f"""if True:
        import signal, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, [{number:d}])
        print({SERVED}, flush=True)
        print(signal.sigwait([{number:d}]), flush=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [{number:d}])
        sys.exit(5)"""
    with server.start("-c", code) as client:
        assert client.stdout.readline() == "True\n"
        client.send_signal(number)
        assert client.wait(30) == 5
        assert client.stdout.read() == f"{number:d}\n"


def test_ctrl_c_ends_a_program_as_it_ends_python(server):
    with server.start("-c", "import time; print(1, flush=True); time.sleep(1000)") as client:
        client.stdout.readline()
        client.send_signal(signal.SIGINT)
        assert client.wait(30) == -signal.SIGINT
        assert "KeyboardInterrupt" in client.stderr.read()


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_program_dies_with_its_client(server):
    code = "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(1000)"
    with server.start("-c", code) as client:
        program, attendant = map(int, client.stdout.readline().split())
        client.kill()
        for pid in (program, attendant):
            wait_until(lambda pid=pid: _ended(pid), "it to end")


def test_a_client_that_nobody_answers_ends(server):
    with server.start("-c", "import os; os.kill(os.getppid(), 9)") as client:
        assert client.wait(30) == 70


def test_ended_programs_are_gone(server):
    for _ in range(3):
        server.run("-c", "")
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    wait_until(lambda: not children.read_text(), "no child", found=children.read_text)


def test_each_program_has_random_numbers_of_its_own(server):
    code = f"import random; print({SERVED}, random.random())"
    said = {server.run("-c", code).stdout for _ in range(3)}
    assert len(said) == 3
    assert all(line.startswith("True ") for line in said)


def test_programs_run_side_by_side(server, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with server.start("-c", f"print(open({str(tmp_path / 'pipe')!r}).read())") as reader:
        server.run("-c", f"open({str(tmp_path / 'pipe')!r}, 'w').write('met')")
        assert reader.communicate()[0] == "met\n"


# --- what a server must not run --------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    [
        ("unshare", "--net"),
        ("unshare", "--mount"),
        ("unshare", "--uts"),
        ("setpriv", "--no-new-privs"),
        ("setpriv", "--bounding-set=-sys_time", "--inh-caps=-all"),
        ("env", "PYTHONOPTIMIZE=1"),
    ],
    ids=shlex.join,
)
def test_who_is_not_like_the_server_gets_a_new_python(prefix, server):
    done = server.run("-c", f"print({SERVED}); raise SystemExit(4)", prefix=prefix)
    assert (done.stdout, done.returncode) == ("False\n", 4), done.stderr


def test_a_new_python_gets_signals_as_they_were(server):
    code = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    assert server.run("-c", code, prefix=("unshare", "--net")).stdout == "True\n"


def test_a_request_that_is_too_large_goes_to_a_new_python(server):
    words = ["x" * 60_000] * 3
    done = server.run("-c", f"import sys; print({SERVED}, len(sys.argv))", *words)
    assert done.stdout == "False 4\n", done.stderr


def test_the_largest_request_is_served(server):
    taken = len(json.dumps({"words": [], "env": server.env}).encode())
    words = ["x" * ((forkserver.LARGEST - taken) // 2 - 200)] * 2
    done = server.run("-c", f"import sys; print({SERVED}, len(sys.argv))", *words)
    assert done.stdout == "True 3\n", done.stderr


def test_without_a_server_there_is_a_new_python(server):
    server.place.unlink()
    assert server.run("-c", f"print({SERVED})").stdout == "False\n"
