"""An empty project on which pytest is run."""

from __future__ import annotations

from pathlib import Path

import pytest
from project_tools import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)
