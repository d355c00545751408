"""The sandbox: what is private inside, what passes through, what is left after a crash."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest
from project_tools import FACTS, PYTEST, Project, environment
from sandbox_tools import BOXED, carrying, children, forbidding, here

from vxlab import sandbox
from vxlab.errors import SandboxError
from vxlab.sandbox import boot, entering, refusals
from vxlab.system.waiting import wait_until


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


# --- inside ----------------------------------------------------------------------------------


def test_a_run_is_root_in_namespaces_of_its_own(project):
    facts = project.facts()
    assert facts["inside"]
    assert facts["uid"] == 0
    assert facts["pids"] == [1, facts["pid"]]
    assert facts["require"] is None
    for kind in ("user", "mnt", "pid", "net", "uts", "ipc"):
        assert facts["ns"][kind] != here(kind)


def test_the_only_device_inside_is_lo_and_it_is_up(project):
    facts = project.facts()
    assert list(facts["links"]) == ["lo"]
    assert "UP" in facts["links"]["lo"]
    assert facts["sysfs"] == ["lo"]


def test_a_device_made_inside_does_not_exist_outside(project):
    name = "vx" + uuid.uuid4().hex[:8]
    project.write(
        "test_link.py",
        f"""
        import socket, subprocess  # vxlab
        def test_link():
            subprocess.run("ip link add {name} type veth peer {name}p".split(), check=True)
            assert "{name}" in [each for _, each in socket.if_nameindex()]
            print("made it")
            input()
        """,
    )
    process = subprocess.Popen(
        [*PYTEST, "-s"],
        cwd=project.folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        assert any("made it" in line for line in process.stdout)
        assert name not in [each for _, each in socket.if_nameindex()]
        process.communicate("\n")
    assert process.returncode == 0


def test_temporary_files_live_in_the_sandbox_and_vanish_with_it(project):
    facts = project.facts()
    assert facts["tempdir"] == boot.TEMP
    assert facts["tmp_path"].startswith(boot.TEMP + "/pytest-of-")
    assert not os.path.exists(facts["tmp_path"])
    assert facts["shm"] == ["tmp"] or project.folder.is_relative_to("/dev/shm")


def test_a_temporary_folder_that_was_asked_for_is_used(project, tmp_path):
    root, base = tmp_path / "root", tmp_path / "base"
    root.mkdir()
    facts = project.facts(PYTEST_DEBUG_TEMPROOT=str(root))
    assert Path(facts["tmp_path"]).is_relative_to(root) or str(root).startswith("/dev/shm")
    assert Path(project.facts(f"--basetemp={base}")["tmp_path"]).is_relative_to(base)
    assert base.is_dir()


def test_the_name_of_the_user_is_kept(project):
    assert project.facts(LOGNAME="kim", USER="kim")["tmp_path"].startswith(
        f"{boot.TEMP}/pytest-of-kim/"
    )
    env = environment()
    for name in ("LOGNAME", "USER"):
        env.pop(name, None)
    assert entering._environment(env)["LOGNAME"]
    assert entering._environment({"LOGNAME": "lee"})["USER"] == "lee"


def test_a_stale_variable_fools_nobody(project):
    outside = str(os.stat("/proc/self/ns/net").st_ino)
    assert project.facts(VXLAB_SANDBOX=outside)["inside"]


def test_a_run_inside_a_sandbox_does_not_enter_another(project):
    project.write("test_facts.py", FACTS)
    note = 'readlink /proc/self/ns/pid >outer; exec "$@"'
    done = project.call([*BOXED, "sh", "-c", note, "sh", *PYTEST])
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((project.folder / "facts.json").read_text())
    assert facts["ns"]["pid"] == (project.folder / "outer").read_text().strip()


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/run"])
def test_a_project_may_live_in_a_folder_that_is_covered(place):
    if not os.access(place, os.W_OK):
        pytest.skip(f"cannot write to {place} here; inside the sandbox one can")
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        project = Project(folder / "one" / "project")
        facts = project.facts(f"--junitxml={folder}/report.xml")
        assert facts["inside"]
        assert facts["cwd"] == str(project.folder)
        assert (folder / "report.xml").exists()
        assert facts["run"] == ([folder.name] if place == "/run" else [])
    finally:
        shutil.rmtree(folder)


def test_a_file_in_a_covered_folder_is_seen_when_it_is_named():
    with tempfile.NamedTemporaryFile("w", dir="/dev/shm") as file:
        file.write("content")
        file.flush()
        assert sandbox.run(["grep", "-qx", "content", file.name]) == 0
        assert sandbox.run(["sh", "-c", f"! test -e {file.name}"]) == 0


def test_a_file_that_would_vanish_is_an_error(project):
    project.write("test_facts.py", FACTS)
    done = project.pytest("--junitxml=/dev/shm/report.xml")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "mount tmpfs on /dev/shm: this run needs what lies in it" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


# --- what passes through ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("def test_it(): pass", 0),
        ("def test_it(): assert not 'vxlab'", 1),
        ("def test_it(): raise KeyboardInterrupt", 2),
        ("import pytest\ndef test_it(): pytest.exit('enough', returncode=77)", 77),
        ("", 5),
    ],
)
def test_the_exit_code_of_pytest_passes_through(project, body, code):
    project.write("test_it.py", f"import vxlab, os\nassert os.getpid() < 10\n{body}")
    assert project.pytest().returncode == code


WAITING = """
    import os, pathlib, signal  # vxlab
    here = pathlib.Path(__file__).parent
    def test_waiting():
        seen, (told, tell) = [], os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell)  # unlike pause(), this misses no signal that comes just before
        signal.signal(signal.SIGHUP, lambda *_: seen.append("HUP"))
        signal.signal(signal.SIGUSR1, lambda *_: seen.append("USR1"))
        (here / "ready").touch()
        while "USR1" not in seen:
            os.read(told, 1)
        signal.set_wakeup_fd(-1)
        (here / "seen").write_text(" ".join(seen))
"""


def until_ready(project: Project) -> None:
    """Wait until the test has begun; pytest starts twice before, on a busy machine slowly."""
    ready = project.folder / "ready"
    wait_until(ready.exists, "the test to begin", timeout=300, found=lambda: project.output)


@pytest.mark.parametrize("args", [(), ("-s",)])
def test_a_signal_to_the_process_reaches_pytest(project, args):
    project.write("test_waiting.py", WAITING)
    with project.started(*args) as process:
        until_ready(project)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == pytest.ExitCode.INTERRUPTED
        assert "KeyboardInterrupt" in project.output


def test_death_by_a_signal_passes_through(project):
    project.write("test_waiting.py", WAITING)
    with project.started() as process:
        until_ready(project)
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("to_the_group", [True, False])
def test_a_signal_arrives_once(project, to_the_group):
    project.write("test_waiting.py", WAITING)
    with project.started() as process:
        until_ready(project)
        (os.killpg if to_the_group else os.kill)(process.pid, signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)  # taken after SIGHUP, which has a lower number
        assert process.wait(30) == 0
    assert (project.folder / "seen").read_text() == "HUP USR1"


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        try:
            self.master, slave = pty.openpty()
        except OSError as error:  # a bare chroot, without /dev/pts
            pytest.skip(f"needs a terminal: {error}")
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv],
            cwd=folder,
            env=environment(TERM="dumb"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.shown = ""

    def type(self, keys: str, after: str) -> None:
        wait_until(
            lambda: after in self.read(), repr(after), timeout=30, found=lambda: repr(self.shown)
        )
        self.shown = ""
        os.write(self.master, keys.encode())

    def read(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):
            self.shown += os.read(self.master, 65536).decode(errors="replace")
        return self.shown

    def wait(self) -> int:
        def ended() -> bool:
            self.read()
            return self.process.poll() is not None

        wait_until(ended, "the program to end", timeout=60, found=self.read)
        os.close(self.master)
        return self.process.returncode


def test_a_debugger_works_in_the_terminal(project):
    project.write("test_it.py", "import vxlab\ndef test_it():\n    x = 42\n    assert x == 43\n")
    terminal = Terminal([*PYTEST, "--pdb"], project.folder)
    terminal.type("x * 1000\n", after="(Pdb)")
    terminal.type("q\n", after="42000")
    assert terminal.wait() == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("key", "code"), [("\x03", pytest.ExitCode.INTERRUPTED), ("\x1c", -signal.SIGQUIT)]
)
def test_keys_that_send_signals_work_in_the_terminal(project, key, code):
    project.write(
        "test_it.py", "import vxlab, time\ndef test_it():\n    print('go')\n    time.sleep(60)\n"
    )
    terminal = Terminal([*PYTEST, "-s"], project.folder)
    terminal.type(key, after="go\r\n")
    assert terminal.wait() == code


# --- when it goes wrong ----------------------------------------------------------------------

CHURN = """
    import itertools, os, pathlib, subprocess
    import pytest
    from vxlab.system.namespaces import Namespaces

    def start(node):
        quiet = subprocess.DEVNULL
        return node.popen(["sleep", "100000"], stdout=quiet, stderr=quiet)

    @pytest.mark.parametrize("number", [0, 1])
    def test_churn(number):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        turns = pathlib.Path(__file__).with_name(worker)
        with Namespaces("held") as held:
            start(held)
            subprocess.run("ip link add vx0 type veth peer vx1".split(), check=True)
            for turn in itertools.count():
                with Namespaces("node") as node:
                    start(node)
                    turns.write_text(str(turn))
                    start(node).kill()
"""


def _turn(path: Path) -> int:
    try:
        return int(path.read_text() or -1)
    except FileNotFoundError:
        return -1


def _victims(process: subprocess.Popen[str], part: str) -> list[int]:
    first = children(process.pid)[0]
    inner = children(first)[0]
    return {
        "P": [process.pid],
        "first": [first],
        "pytest": [inner],
        "all": [process.pid, first, inner],
    }[part]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("part", ["P", "first", "pytest", "all", "group"])
def test_nothing_is_left_when_any_part_is_killed(project, part, workers):
    project.write("test_churn.py", CHURN)
    token = uuid.uuid4().hex
    moment = random.randint(1, 20)
    with project.started(f"-n{workers}", VXLAB_TEST_TOKEN=token) as process:
        for name in [f"gw{n}" for n in range(workers)] or ["main"]:
            wait_until(
                lambda path=project.folder / name: _turn(path) >= moment,
                f"turn {moment} of {name}",
                timeout=300,
                found=lambda: project.output,
            )
        assert any(line.startswith("sleep 100000") for line in carrying(token).values())
        if part == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            for pid in _victims(process, part):
                with contextlib.suppress(ProcessLookupError):  # by the death of the one before
                    os.kill(pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        wait_until(lambda: not carrying(token), "all to end", found=lambda: str(carrying(token)))


def test_nothing_of_a_killed_worker_is_left_while_the_others_go_on(project):
    project.write("test_churn.py", CHURN)
    token = uuid.uuid4().hex
    with project.started("-n2", "--max-worker-restart=0", VXLAB_TEST_TOKEN=token) as process:
        for name in ("gw0", "gw1"):
            wait_until(
                lambda path=project.folder / name: _turn(path) >= 2, f"turns of {name}", timeout=300
            )

        def of(worker: str) -> dict[int, str]:
            return {
                pid: line
                for pid, line in carrying(f"PYTEST_XDIST_WORKER={worker}").items()
                if pid in carrying(token)
            }

        sleepers = of("gw0")
        assert sleepers
        inner = children(children(process.pid)[0])[0]
        by_ancestry = [pid for pid in children(inner) if set(sleepers) & set(_below(pid))]
        assert len(by_ancestry) == 1
        os.kill(by_ancestry[0], signal.SIGKILL)
        wait_until(lambda: not of("gw0"), "gw0's programs to end", found=lambda: str(of("gw0")))
        turn = _turn(project.folder / "gw1")
        wait_until(lambda: _turn(project.folder / "gw1") > turn, "gw1 to go on", timeout=60)
        assert process.poll() is None


def _below(pid: int) -> list[int]:
    """All processes below one, whichever of its threads started them."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(child), *_below(int(child))]
    return found


def test_orphans_are_reaped(tmp_path):
    script = """
import contextlib, os
from vxlab.system.waiting import wait_until
def states():
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has just ended
            yield open(f"/proc/{name}/stat").read().split()[2:4]
read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.close(write)
        os.read(read, 1)  # until the last copy of the other end is closed
    os._exit(0)
os.wait()
wait_until(lambda: ["S", "1"] in states(), "an orphan")
os.close(write)
wait_until(lambda: len(list(states())) == 2, "the orphan to be reaped")
"""
    assert sandbox.run([sys.executable, "-c", script], environment()) == 0


# --- where the system forbids it -------------------------------------------------------------


@pytest.mark.parametrize("setting", ["max_user_namespaces", "max_net_namespaces"])
def test_a_system_that_forbids_it_is_named_with_its_setting(project, setting):
    project.write("test_facts.py", FACTS)
    done = project.call([*forbidding(setting), *PYTEST])
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"the setting user.{setting} = 0 forbids them" in done.stderr
    assert done.stderr.startswith("vxlab: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project.folder / "facts.json").exists()


def test_root_needs_no_user_namespace(project):
    project.write("test_facts.py", FACTS)
    done = project.call([*forbidding("max_user_namespaces", capable=True), *PYTEST])
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((project.folder / "facts.json").read_text())
    assert facts["inside"]
    assert facts["pids"] == [1, facts["pid"]]
    assert list(facts["links"]) == ["lo"]


@pytest.mark.parametrize("wish", ["no", "yes"])
def test_root_may_do_without_a_user_namespace(project, wish):
    facts = project.facts(VXLAB_USERNS=wish)
    assert (facts["ns"]["user"] == here("user")) == (wish == "no")
    assert facts["ns"]["net"] != here("net")
    assert facts["inside"]
    assert facts["pids"] == [1, facts["pid"]]
    assert list(facts["links"]) == ["lo"]


def test_why_not_says_the_same_sentence(project):
    ask = "from vxlab import sandbox; print(sandbox.why_not())"
    done = project.call([*forbidding("max_user_namespaces"), sys.executable, "-c", ask])
    assert "the setting user.max_user_namespaces = 0 forbids them" in done.stdout
    done = project.call([sys.executable, "-c", ask])
    assert done.stdout == "None\n"


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user/max_mnt_namespaces", "0", "15000"),
    ],
)
def test_every_setting_that_may_forbid_it_is_known(tmp_path, name, value, good):
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(value + "\n")
    problem = PermissionError(1, "unshare: Operation not permitted")
    sentence = refusals.explain(problem, 1000, str(tmp_path))
    setting = name.replace("/", ".")
    assert f"the setting {setting} = {value} forbids them" in sentence
    assert f"`sudo sysctl -w {setting}={good}`" in sentence
    path.write_text(good + "\n")
    assert setting not in refusals.explain(problem, 1000, str(tmp_path))


def test_what_no_setting_explains_is_told_by_the_error(tmp_path):
    none = str(tmp_path)
    full = refusals.explain(OSError(28, "unshare: No space left on device"), 0, none)
    assert "too many namespaces" in full
    hidden = refusals.explain(PermissionError(1, "mount proc on /proc: not permitted"), 0, none)
    assert "run the container with --privileged" in hidden


# --- as a library ----------------------------------------------------------------------------


def test_run_returns_the_exit_code(tmp_path):
    assert sandbox.run(["sh", "-c", 'test "$NUMBER" = 42 && exit 7'], {"NUMBER": "42"}) == 7
    assert sandbox.run(["sh", "-c", "kill -TERM $$"]) == 128 + signal.SIGTERM
    assert sandbox.run(["no-such-program"]) == 127
    assert sandbox.run([str(tmp_path)]) == 126


def test_run_raises_where_the_system_refuses(monkeypatch):
    monkeypatch.setattr(entering.sys, "prefix", "/dev/shm")
    with pytest.raises(SandboxError, match="this run needs what lies in it"):
        sandbox.run(["true"])


def test_programs_start_with_signals_as_they_were():
    ended_by_sigpipe = ["bash", "-c", "yes | head -n1 >/dev/null; exit ${PIPESTATUS[0]}"]
    assert sandbox.run(ended_by_sigpipe) == 128 + signal.SIGPIPE
    script = "import signal; assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())"
    assert sandbox.run([sys.executable, "-c", script]) == 0


def test_what_run_started_dies_with_its_caller(tmp_path):
    token = uuid.uuid4().hex
    script = "from vxlab import sandbox; sandbox.run(['sleep', '100000'])"
    caller = subprocess.Popen([sys.executable, "-c", script], env=environment(TOKEN=token))
    wait_until(lambda: "sleep 100000" in str(carrying(token)), "sleep to run")
    caller.kill()
    caller.wait()
    wait_until(lambda: not carrying(token), "all to end", found=lambda: str(carrying(token)))


def test_reenter_keeps_the_process(tmp_path):
    script = "from vxlab import sandbox; sandbox.reenter(['sh', '-c', 'echo $$; exit 3'])"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (3, "2\n")


ENTER = """if True:
    import os, sys, tempfile
    tempfile.gettempdir()
    print("before")
    from vxlab import sandbox
    sandbox.enter()
    fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
    print(os.getpid(), sandbox.inside(), tempfile.gettempdir(), sorted(fds), flush=True)
"""


@pytest.mark.parametrize(
    ("rest", "ends"),
    [
        ("sys.exit(3)", 3),
        ("sys.stdout.write('')", 0),
        ("os.kill(os.getpid(), 15)", -15),
        ("os.execvp('sh', ['sh', '-c', 'exit 5'])", 5),
    ],
)
def test_enter_goes_on_inside(rest, ends):
    done = subprocess.run(
        [sys.executable, "-c", f"{ENTER}    {rest}"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"before\n2 True {boot.TEMP} ['0', '1', '2']\n", done.stderr
    assert done.returncode == ends


def test_a_signal_reaches_the_program_that_entered():
    wait = "import signal; sys.exit(signal.sigtimedwait([15], 60).si_signo)"
    script = f"{ENTER}    {wait}".replace("sandbox.enter()", f"{BLOCK}; sandbox.enter()")
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "before\n"
        assert process.stdout.readline().startswith("2 True")
        process.terminate()
        assert process.wait(60) == 15


BLOCK = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15])"


def test_enter_says_why_the_system_refuses(project):
    ask = "from vxlab import sandbox; sandbox.enter(); print('inside')"
    done = project.call([*forbidding("max_user_namespaces"), sys.executable, "-c", ask])
    assert (done.returncode, done.stdout) == (4, "")
    assert "the setting user.max_user_namespaces = 0 forbids them" in done.stderr


def test_what_entered_dies_with_who_called():
    token = uuid.uuid4().hex
    script = f"{ENTER}    import time; time.sleep(100000)"
    caller = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(TOKEN=token), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with caller:
        caller.stdout.readline()
        caller.stdout.readline()
        caller.kill()
    wait_until(lambda: not carrying(token), "all to end", found=lambda: str(carrying(token)))


def test_inside_is_about_this_process(monkeypatch):
    monkeypatch.delenv("VXLAB_SANDBOX", raising=False)
    assert not sandbox.inside()
    monkeypatch.setenv("VXLAB_SANDBOX", boot.mark())
    assert sandbox.inside()
    monkeypatch.setattr(boot, "mark", lambda: os.stat("/no/such/file"))
    assert not sandbox.inside()
