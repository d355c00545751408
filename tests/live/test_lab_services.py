"""Multicast routers of a lab: stopped, started again, and what is told when they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab_tools import EditingBackend

from vxlab import catalog
from vxlab.errors import DaemonError, VxlabError
from vxlab.live.lab import Lab
from vxlab.operations import AddNamespace, StartDaemon
from vxlab.services import base

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_daemon_that_dies_at_once_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "smcrouted"
    fake.write_text("#!/bin/sh\necho cannot go on >&2\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path))
    with pytest.raises(
        DaemonError, match=r"start smcrouted in router: .*7.*cannot go on"
    ) as caught:
        Lab(catalog.kim_and_lee()).open()
    assert "wanted" in str(caught.value)


def test_a_daemon_that_is_never_ready_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "smcrouted"
    fake.write_text("#!/bin/sh\nexec sleep 1234\n")
    fake.chmod(0o755)
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path))
    monkeypatch.setattr(base.wait_all_ready, "__defaults__", (0.2,))
    with pytest.raises(DaemonError, match=r"start smcrouted in router: waited 0\.2 s for"):
        Lab(catalog.kim_and_lee()).open()


@pytest.mark.parametrize("router", ["smcroute", "pimd"])
def test_a_daemon_is_stopped_and_started_again(router: str) -> None:
    with Lab(catalog.kim_and_lee(router=router)) as lab:
        assert lab["kim-srv1"].ping("1.1.1.2", timeout=5)
        lab.stop_daemon("router")
        assert lab["router"].state.multicast_routes == ()
        with pytest.raises(VxlabError, match="wanted a daemon that was started, found none"):
            lab.stop_daemon("router")
        lab.start_daemon("router")
        assert lab["lee-srv1"].ping("1.1.1.2", timeout=5)
        with pytest.raises(VxlabError, match="it runs already: stop it first"):
            lab.start_daemon("router")


def test_a_daemon_that_was_not_planned_is_not_started(lab: Lab) -> None:
    for change in (lab.start_daemon, lab.stop_daemon):
        with pytest.raises(VxlabError, match="lab two-hosts: wanted a daemon on 'h1', found none"):
            change("h1")


def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing() -> None:
    def too_early(operations: list[Any]) -> Any:
        late = [each for each in operations if isinstance(each, StartDaemon)]
        rest = [each for each in operations if not isinstance(each, StartDaemon)]
        nodes = sum(isinstance(each, AddNamespace) for each in rest)
        return [*rest[:nodes], *late, *rest[nodes:]]

    missing = pytest.raises(DaemonError, match="in router: wanted the interface eth0, eth1, found")
    with missing:
        Lab(catalog.kim_and_lee(), backend=EditingBackend(too_early)).open()
