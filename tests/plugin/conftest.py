"""An empty project that uses vxlab on strict terms."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_tools import strict_project
from project_tools import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return strict_project(tmp_path / "project")
