"""The fenced blocks of the documents: which there are, and running them as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from project_tools import REPOSITORY, environment

#: The first line of a block that is a file: a comment with its name.
_FILE = re.compile(r"# ([\w./-]+)\n")
#: Programs that a reader has after set-up: those of vxlab's own environment come first in PATH.
_PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: the word behind its fence, its text, and the line where it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that a reader saves it as, None where it names none."""
        found = _FILE.match(self.text)
        return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The blocks below one heading of a document, in order."""

    document: str
    heading: str
    blocks: tuple[Block, ...]


def sections(document: str) -> Iterator[Section]:
    """The sections of a document that have fenced blocks."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    heading, blocks, opened = document, [], None
    for number, line in enumerate(text.splitlines(), start=1):
        fence = re.match(r"```(\S*)$", line)
        if opened is None and (title := re.match(r"##+ (.*)", line)):
            if blocks:
                yield Section(document=document, heading=heading, blocks=tuple(blocks))
            heading, blocks = title[1], []
        elif opened is None and fence:
            opened = (fence[1], number, [])
        elif opened and line == "```":
            language, start, lines = opened
            blocks.append(Block(language=language, text="\n".join([*lines, ""]), line=start))
            opened = None
        elif opened:
            opened[2].append(line)
    assert opened is None, f"{document}:{opened[1]}: this block has no end"
    if blocks:
        yield Section(document=document, heading=heading, blocks=tuple(blocks))


def commands(section: Section, block: Block) -> Sequence[Sequence[str]]:
    """What a reader types, once a block is saved under its name.

    None for what is only a file, and for a program that a shell block of the section starts.
    """
    if block.language == "sh":
        return [["sh", "-euc", block.text]]
    if block.language != "python":
        return []
    assert block.file, f"line {block.line}: a Python block begins with the name of its file"
    if any(other.language == "sh" and block.file in other.text for other in section.blocks):
        return []
    return [["pytest" if Path(block.file).name.startswith("test_") else "python", block.file]]


def save(block: Block, folder: Path) -> None:
    """Write a block to the file that it names, if it names one."""
    if block.file:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


def call(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in ``folder`` as a user who has vxlab installed; stdout has stderr too."""
    env = environment(PATH=f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    del env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"], env["PYTHONPATH"]
    return subprocess.run(
        words,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,  # against hanging alone
    )


def run(section: Section, folder: Path) -> Iterator[tuple[Block, subprocess.CompletedProcess[str]]]:
    """Save the blocks of a section in ``folder``, and run what a reader would run."""
    for block in section.blocks:
        save(block, folder)
        for words in commands(section, block):
            yield block, call(words, folder)
