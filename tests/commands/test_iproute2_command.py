"""``vxlab iproute2``: one folder, or what versions there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from vxlab.commands import main
from vxlab.vm import bundles
from vxlab.vm.bundles import Bundle
from vxlab.vm.notify import Notify


def test_the_folder_is_printed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find(wanted: str, notify: Notify) -> Bundle:
        notify(f"making a bundle of iproute2 {wanted}")
        return Bundle(wanted, "6.1.0-3", Path("/cache/iproute2/x"))

    monkeypatch.setattr(bundles, "find", find)
    assert main.main(["iproute2", "6.1"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "/cache/iproute2/x\n"
    assert printed.err == "vxlab iproute2: making a bundle of iproute2 6.1\n"


def test_versions_are_listed_with_their_suites(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = {"5.10.0": "bullseye", "6.1.0": "bookworm"}
    monkeypatch.setattr(bundles, "offered", lambda notify: offered)
    assert main.main(["iproute2"]) == 0
    assert capsys.readouterr().out == "5.10.0  bullseye\n6.1.0  bookworm\n"
