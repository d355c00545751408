"""Every fenced block of the documents runs as it stands, from an empty folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from document_tools import Section, call, run, save, sections
from project_tools import REPOSITORY

DOCUMENTS = [
    "README.md",
    *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")),
]
SECTIONS = [section for document in DOCUMENTS for section in sections(document)]
#: What a block may be. Anything else, such as output, is written with an indent.
LANGUAGES = {"python", "sh", "yaml", "json", "dockerfile"}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: f"{one.document}:{one.heading}")
def test_the_blocks_of_a_section_run(section: Section, tmp_path: Path) -> None:
    for block, done in run(section, tmp_path):
        place = f"{section.document}:{block.line}"
        assert done.returncode == 0, f"{place} ended with {done.returncode}:\n{done.stdout}"
        if done.args[0] == "pytest":
            last = done.stdout.rstrip().splitlines()[-1]
            assert " passed" in last, f"{place} passed no test:\n{done.stdout}"


def test_every_block_says_what_it_is() -> None:
    odd = [
        f"{section.document}:{block.line}"
        for section in SECTIONS
        for block in section.blocks
        if block.language not in LANGUAGES
    ]
    assert not odd, f"nothing runs these blocks: {', '.join(odd)}"


def the_workflow() -> dict[str, Any]:
    (section,) = [one for one in SECTIONS if one.heading == "GitHub Actions"]
    (block,) = section.blocks
    return yaml.safe_load(block.text)


def test_the_commands_of_the_workflow_run(tmp_path: Path) -> None:
    """Those of vxlab and pytest, on the first scenario of the README."""
    (scenario,) = [one for one in SECTIONS if one.heading == "A first scenario of your own"]
    save(scenario.blocks[0], tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (job,) = the_workflow()["jobs"].values()
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    ours = [line for line in lines if line.startswith((".venv/bin/pytest", ".venv/bin/vxlab"))]
    assert len(ours) == 3, f"the workflow no longer sets up, looks and runs: {ours}"
    for line in ours:
        done = call(["sh", "-euc", line], tmp_path)
        assert done.returncode == 0, f"{line} ended with {done.returncode}:\n{done.stdout}"
    assert 'tests="1"' in (tmp_path / "evidence" / "junit.xml").read_text(encoding="utf-8")
    (upload,) = [step["with"] for step in job["steps"] if "upload" in step.get("uses", "")]
    assert upload["path"] == "evidence"
