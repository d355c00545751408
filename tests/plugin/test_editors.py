"""Editors that call pytest.main() and read results from a pipe that the environment names."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from project_tools import PLUGINS, Project

#: What an editor starts: its plugin opens the pipe anew for each message, as that of VS Code does.
EDITOR = f"""
    import os, sys
    import pytest

    class Messages:
        def pytest_runtest_logreport(self, report):
            if report.when == "call":
                with open(os.environ["TEST_RUN_PIPE"], "a") as pipe:
                    pipe.write(f"{{report.nodeid}} {{report.outcome}}\\n")

    sys.exit(pytest.main({PLUGINS!r}, plugins=[Messages()]))
"""
TEST = """
    import pytest
    from vxlab import catalog

    @pytest.mark.topology(catalog.point_to_point())
    def test_it(lab):
        assert lab["a"].ping("172.18.1.3")
"""


@pytest.mark.parametrize("folder", ["/run", "/dev/shm"])
def test_an_editor_gets_results_by_a_pipe_in_a_hidden_folder(tmp_path: Path, folder: str) -> None:
    project = Project(tmp_path)
    project.write("editor.py", EDITOR)
    project.write("test_it.py", TEST)
    runtime = Path(folder, f"editor-{os.getpid()}")
    runtime.mkdir(mode=0o700)
    pipe = runtime / "results"
    os.mkfifo(pipe)
    got: list[str] = []
    # a writer of its own lets the reader begin, and end where the editor's plugin never writes
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    with open(pipe, "w", encoding="utf-8"):
        done = project.call([sys.executable, "editor.py"], TEST_RUN_PIPE=str(pipe))
    reader.join()
    pipe.unlink()
    runtime.rmdir()
    assert done.returncode == 0, done.stdout + done.stderr
    assert got == ["test_it.py::test_it passed\n"]
