"""When a test run enters a sandbox, when it does not, and what a worker of pytest-xdist gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from project_tools import FACTS, PLUGINS, PYTEST, Project, environment
from sandbox_tools import forbidding, here

INSTALLED = any(point.value == "vxlab.plugin.hooks" for point in entry_points(group="pytest11"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


# --- when it is entered ----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--collect-only", "--help", "--version", "--markers"])
def test_what_only_lists_works_there(project, option):
    project.write("test_facts.py", FACTS)
    done = project.call([*forbidding("max_user_namespaces"), *PYTEST, option])
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_sandbox_stays_where_it_is(project):
    facts = project.facts("--no-sandbox")
    assert not facts["inside"]
    assert facts["ns"]["pid"] == here("pid")
    if os.geteuid() == 0:
        assert facts["require"] is None
    else:
        assert "only root can do without" in facts["require"]


def test_a_suite_that_never_mentions_it_is_left_alone(project):
    project.write(
        "test_it.py", "import os\ndef test_it():\n    open('pid', 'w').write(str(os.getpid()))\n"
    )
    with project.started() as process:
        assert process.wait(30) == 0, project.output
    assert (project.folder / "pid").read_text() == str(process.pid)


QUIET = """
    import importlib, json
    lab = importlib.import_module("vx" + "lab.plugin.sandboxing")
    def test_quiet(request):
        try:
            answer = lab.require(request.config)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        open("answer.json", "w").write(json.dumps(answer))
"""


def quiet(project: Project, *args: str) -> str | None:
    """What a test that does not mention vxlab is told when it wants a lab."""
    project.write("tests/deep/test_quiet.py", QUIET)
    if not (project.folder / "pytest.ini").exists():
        project.write("pytest.ini", "[pytest]")
    done = project.pytest(*args)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((project.folder / "answer.json").read_text())


@pytest.mark.parametrize("args", [(), ("-n1",)])
def test_who_wants_a_lab_without_a_mention_learns_what_to_do(project, args):
    answer = quiet(project, *args)
    assert answer is not None
    assert answer.startswith("SandboxError: wanted a sandbox round this test run, found none")
    assert "set `vxlab_sandbox = always`" in answer


def test_the_setting_decides_before_the_files_do(project):
    project.write("pytest.ini", "[pytest]\nvxlab_sandbox = always")
    assert quiet(project) is None
    project.write("pytest.ini", "[pytest]\nvxlab_sandbox = never")
    project.write("conftest.py", "import vxlab")
    assert "found none: the setting vxlab_sandbox is `never`" in str(quiet(project))


def test_the_head_of_the_report_says_why_the_run_is_in_the_sandbox(project):
    project.write("pytest.ini", "[pytest]\n")
    project.write("tests/test_a.py", "def test_it(): pass  # vxlab")
    project.write("tests/helpers.py", "from vxlab import catalog")
    project.write("tests/test_b.py", "import helpers\ndef test_it(): pass")
    why = "in a sandbox (uid 0, its own localhost, empty /run), as tests/helpers.py imports vxlab"
    assert why in project.pytest().stdout
    assert why in project.pytest("-n1").stdout
    assert "without a sandbox" in project.pytest("tests/test_a.py").stdout
    done = project.pytest("tests/test_a.py", "-o", "vxlab_sandbox=always")
    assert "as the setting vxlab_sandbox is `always`" in done.stdout


def test_a_wrong_setting_is_an_error(project):
    project.write("pytest.ini", "[pytest]\nvxlab_sandbox = perhaps")
    done = project.pytest()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "wanted auto, always or never, found 'perhaps'" in done.stderr


CALLER = """
    import os, pathlib, sys, threading, pytest
    if sys.argv[1:]:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    code = pytest.main({plugins!r})
    pathlib.Path("program").write_text(str(os.getpid()))
    sys.exit(code)
"""


def facts_by_a_caller(project: Project, *args: str) -> dict[str, object]:
    """What a test sees in a pytest that a program calls, which has another thread for ``args``."""
    project.write("test_facts.py", FACTS)
    project.write("caller.py", CALLER.format(plugins=PLUGINS))
    done = project.call([sys.executable, "caller.py", *args])
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((project.folder / "facts.json").read_text())
    assert (project.folder / "program").read_text() == str(facts["pid"]), "not the same process"
    return facts


def test_a_pytest_that_a_program_calls_takes_it_into_the_sandbox(project):
    facts = facts_by_a_caller(project)
    assert facts["inside"]
    assert facts["require"] is None


def test_a_program_with_threads_stays_where_it_is_and_is_told_why(project):
    facts = facts_by_a_caller(project, "thread")
    assert not facts["inside"]
    assert "a program with 2 threads" in str(facts["require"])
    assert "`vxlab.sandbox.enter()` before the others start" in str(facts["require"])


def test_the_exit_code_is_that_of_the_run(project):
    project.write("test_it.py", "import vxlab\ndef test_it(): assert False")
    done = project.pytest()
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "assert False" in done.stdout


def test_what_a_test_prints_is_captured_as_ever(project):
    project.write("test_it.py", "import os, vxlab\ndef test_it():\n    os.system('echo deep')\n")
    done = project.pytest("-rP")
    assert "Captured stdout call" in done.stdout
    assert "deep" in done.stdout


def test_a_pytest_inside_a_pytest_stays_where_it_is(project):
    project.write("inner/test_facts.py", FACTS)
    project.write(
        "test_outer.py",
        f"""
        import pytest
        def test_outer():
            assert pytest.main([*{PLUGINS!r}, "inner"]) == 0
        """,
    )
    done = project.pytest("-o", "vxlab_sandbox=never", "test_outer.py")
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((project.folder / "inner/facts.json").read_text())
    assert not facts["inside"]
    assert "called by a test of another pytest" in facts["require"]


@pytest.mark.parametrize(
    "start", ["pytest", "python -m pytest", "python -m coverage run -m pytest"]
)
def test_every_way_to_start_pytest_enters(project, start):
    words = start.split()
    if words[0] == "pytest":
        words[0] = shutil.which("pytest", path=os.path.dirname(sys.executable)) or ""
        if not words[0]:
            pytest.skip("pytest has no console script beside this interpreter")
    else:
        words[0] = sys.executable
    if "coverage" in words:
        pytest.importorskip("coverage")
    project.write("test_facts.py", FACTS)
    done = project.call([*words, *PLUGINS])
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((project.folder / "facts.json").read_text())["inside"]


@pytest.mark.skipif(not INSTALLED, reason="vxlab is not installed here, only its source is used")
def test_the_installed_plugin_enters_by_itself(project):
    project.write("test_facts.py", FACTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=project.folder,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((project.folder / "facts.json").read_text())["inside"]


# --- workers ---------------------------------------------------------------------------------


def test_each_worker_has_devices_and_run_of_its_own(project):
    project.write(
        "test_worker.py",
        """
        import json, os, pathlib, subprocess, vxlab
        import pytest
        @pytest.mark.parametrize("number", range(2))
        def test_worker(number, worker_id):
            assert os.listdir("/run") == []
            pathlib.Path("/run/mine").touch()
            links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
            assert [(link["ifname"], "UP" in link["flags"]) for link in links] == [("lo", True)]
            assert os.listdir("/sys/class/net") == ["lo"]
            subprocess.run("ip link add vx0 type veth peer vx1".split(), check=True)
            spaces = {
                kind: os.readlink(f"/proc/self/ns/{kind}") for kind in os.listdir("/proc/self/ns")
            }
            pathlib.Path(worker_id).write_text(json.dumps(spaces))
        """,
    )
    done = project.pytest("-n2", "--dist=each", "-k", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (json.loads((project.folder / f"gw{n}").read_text()) for n in range(2))
    for kind in ("net", "mnt", "uts", "ipc"):
        assert first[kind] != second[kind]
    for kind in ("user", "pid"):
        assert first[kind] == second[kind] != here(kind)


TALKATIVE = """
    import os, pathlib, socket, socketserver, threading, vxlab

    HEARD = []

    class Listener(socketserver.StreamRequestHandler):
        def handle(self):
            HEARD.extend(line.decode().strip() for line in self.rfile)

    def say(config, word):
        if hasattr(config, "workerinput"):
            with socket.create_connection(("localhost", config.workerinput["port"])) as sock:
                sock.sendall(word.encode())

    def pytest_configure(config):
        config.kept = None
        if not hasattr(config, "workerinput"):
            config.server = socketserver.ThreadingTCPServer(("localhost", 0), Listener)
            config.server.daemon_threads = False
            threading.Thread(target=config.server.serve_forever).start()
            return
        say(config, "configure")
        config.kept = socket.create_connection(("localhost", config.workerinput["port"]))

    def pytest_configure_node(node):
        node.workerinput["port"] = node.config.server.server_address[1]

    def pytest_sessionstart(session):
        say(session.config, "sessionstart")

    def pytest_runtest_protocol(item):
        say(item.config, "protocol")

    def pytest_unconfigure(config):
        if config.kept:
            config.kept.sendall(b"kept")
            config.kept.close()
        say(config, "unconfigure")
        if not hasattr(config, "workerinput"):
            config.server.shutdown()
            config.server.server_close()  # waits for what was said
            pathlib.Path("heard").write_text(" ".join(sorted(set(HEARD))))
"""


def test_plugins_of_a_worker_reach_its_controller_while_its_tests_do_not(project):
    project.write("conftest.py", TALKATIVE)
    project.write(
        "test_worker.py",
        """
        import pytest, socket
        def reaches_the_controller(config):
            try:
                socket.create_connection(("localhost", config.workerinput["port"])).close()
            except ConnectionRefusedError:
                return False
            return True
        @pytest.fixture(scope="session")
        def whole_session(pytestconfig):
            assert not reaches_the_controller(pytestconfig)
            yield
            assert not reaches_the_controller(pytestconfig)
        def test_worker(pytestconfig, whole_session):
            assert not reaches_the_controller(pytestconfig)
        """,
    )
    done = project.pytest("-n2")
    assert done.returncode == 0, done.stdout + done.stderr
    heard = (project.folder / "heard").read_text()
    assert heard == "configure kept protocol sessionstart unconfigure"


def test_isolating_where_it_is_refused_says_so(project):
    script = "from vxlab import sandbox; sandbox.isolate_worker()"
    done = project.call([*forbidding("max_user_namespaces"), sys.executable, "-c", script])
    assert "SandboxError: wanted namespaces of its own" in done.stderr
