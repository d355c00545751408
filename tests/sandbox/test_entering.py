"""The sandbox as a library: run a program in one, or go on inside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid

import pytest
from project_tools import environment
from sandbox_tools import carrying, forbidding

from vxlab import sandbox
from vxlab.errors import SandboxError
from vxlab.sandbox import boot, entering
from vxlab.system.waiting import wait_until


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


@pytest.mark.parametrize("userns", ["yes", "no"])
def test_a_program_with_threads_is_told_why_it_stays_where_it_is(userns):
    """Such as a notebook: of its threads the fork would take one along, and lose the others."""
    script = """if True:
        import threading
        from vxlab import SandboxError, sandbox
        done = threading.Event()
        threading.Thread(target=done.wait).start()
        try:
            sandbox.enter()
        except SandboxError as error:
            print(error)
        print(sandbox.inside())
        done.set()
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(VXLAB_USERNS=userns),
        capture_output=True,
        text=True,
        timeout=60,
    )
    sentence, outside = done.stdout.splitlines()
    assert re.match(r"wanted to move .* found that it has 2 threads .*: call", sentence)
    assert (outside, done.returncode, done.stderr) == ("False", 0, "")
