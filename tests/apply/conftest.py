"""The lab that the tests of backends use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_tools import two_hosts
from script_tools import ScriptFolder

from vxlab import wait_until
from vxlab.live.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab of two hosts."""
    with Lab(two_hosts()) as lab:
        yield lab


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ScriptFolder]:
    """Where a script is run; nothing of it may be left at the end."""
    folder = ScriptFolder(tmp_path)
    yield folder
    wait_until(lambda: not folder.left(), "nothing left", found=lambda: str(folder.left()))
