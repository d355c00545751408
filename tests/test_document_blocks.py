"""Every fenced block of the documents runs as it stands, from an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from document_tools import Section, run, sections
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
