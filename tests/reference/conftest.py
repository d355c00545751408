"""A reference VTEP asks once, so that what it received can be counted."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _asks_once(monkeypatch):
    """A reference asks once, however busy the machine: what it received can be counted."""
    monkeypatch.setattr("vxlab.reference.vtep._ASK_AGAIN", 60.0)
