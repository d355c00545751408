"""What the documents mention exists: files, tests, links, commands, options, modules, findings."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from document_tools import sections

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md", "bench/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
]

#: Names in samples that are not of this project: a file of the reader's, other makefiles' targets.
NOT_OURS = {"test_it.py", "make modules_install", "make install"}
#: Folders that exist only after the command that the text is about.
MADE_LATER = {"bench/build/"}


@cache
def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@cache
def code_of(document: str) -> tuple[str, ...]:
    """The lines of code blocks, continued ones joined, and what stands between backticks."""
    found, fenced = [], False
    for line in text_of(document).replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found.append(line)
        else:
            found += re.findall(r"`([^`]+)`", line)
    return tuple(found)


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The names of the functions in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@cache
def names_of_tests() -> str:
    """The names of all test files and their functions, one a line."""
    paths = [path for top in ("scenarios", "tests") for path in (ROOT / top).rglob("test_*.py")]
    return "\n".join(f"{path.name}\n" + "\n".join(functions_of(path)) for path in paths)


@cache
def help_of(*command: str) -> str:
    """What ``vxlab COMMAND --help`` prints; '' if there is no such command."""
    words = [sys.executable, "-m", "vxlab", *command, "--help"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def missing_tests(document: str) -> Iterator[str]:
    """Test files and functions; a file without a folder is one of ``scenarios/``."""
    for file, function in re.findall(r"((?:[\w-]+/)*test_\w+\.py)(?:::(\w+))?", text_of(document)):
        path = ROOT / (file if "/" in file else f"scenarios/{file}")
        if not path.exists():
            yield file
        elif function and function not in functions_of(path):
            yield f"{file}::{function}"


def missing_selections(document: str) -> Iterator[str]:
    """What ``-k`` selects, and names such as ``test_e1`` with which files of scenarios begin."""
    for code in code_of(document):
        for word in re.findall(r" -k '?([a-z]\w*)", f" {code}"):
            if word not in names_of_tests():
                yield f"-k {word}"
        if re.fullmatch(r"test_\w+", code) and not [*(ROOT / "scenarios").glob(f"{code}*.py")]:
            yield code


def missing_paths(document: str) -> Iterator[str]:
    """Paths below a folder of the project, and modules named without their folder."""
    path_below = r"(?<![\w/.-])(?:vxlab|scenarios|tests|docs|bench|tools|\.ci)/[\w./*-]*[\w/*]"
    for code in code_of(document):
        for path in re.findall(path_below, code):
            if "/test_" not in path and path not in MADE_LATER and not [*ROOT.glob(path)]:
                yield path
        bare = re.fullmatch(r"(?!test_)\w+\.py", code)
        if bare and not any([*(ROOT / top).rglob(code)] for top in ("vxlab", "tests", "bench")):
            yield code


def missing_links(document: str) -> Iterator[str]:
    """Links to other files of the project."""
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        path = (ROOT / document).parent / link.partition("#")[0]
        if not re.match(r"\w+:", link) and not path.exists():
            yield link


def missing_commands(document: str) -> Iterator[str]:
    """Subcommands of vxlab and their options, up to a ``--`` that ends these."""
    for code in code_of(document):
        for match in re.finditer(r"(?<!import )(?<!from )\bvxlab ([a-z][\w-]*)", code):
            words = code[match.end() :].partition(" -- ")[0].split()
            command = [match[1], *words[:1]] if match[1] == "vm" and words else [match[1]]
            if not help_of(*command):
                yield f"vxlab {' '.join(command)}"
            for option in re.findall(r"(?<!\S)--[a-z][\w-]*", " ".join(words)):
                if not re.search(rf"{option}\b(?!-)", help_of(*command)):
                    yield f"{match[0]} {option}"


def missing_targets(document: str) -> Iterator[str]:
    """Targets of ``make``."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for code in code_of(document):
        for target in re.findall(r"(?<![\w./-])make ([a-z]\w*)", code):
            if target not in targets:
                yield f"make {target}"


def missing_options(document: str, config: pytest.Config) -> Iterator[str]:
    """Options of pytest that the plugin defines, or the ``conftest.py`` of this project."""
    names = r"--(?:vxlab-[a-z0-9-]*[a-z0-9]|no-sandbox|all-cases)\b"
    for option in re.findall(names, text_of(document)):
        try:
            config.getoption(option[2:].replace("-", "_"))
        except ValueError:
            yield option


def missing_modules(document: str) -> Iterator[str]:
    """Dotted names below ``vxlab``: modules, and what is in them."""
    for name in re.findall(r"(?<![\w/.-])vxlab(?:\.[A-Za-z_]\w*)+(?![\w/])", text_of(document)):
        found, path = importlib.import_module("vxlab"), "vxlab"
        for part in name.split(".")[1:]:
            path += f".{part}"
            try:
                found = getattr(found, part, None) or importlib.import_module(path)
            except ImportError:
                yield name
                break


def files_of_the_reader(document: str) -> set[str | None]:
    """What the reader saves the blocks of a document as."""
    return {block.file for section in sections(document) for block in section.blocks}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_mentions_exists(document, pytestconfig):
    missing = {
        *missing_tests(document),
        *missing_selections(document),
        *missing_paths(document),
        *missing_links(document),
        *missing_commands(document),
        *missing_targets(document),
        *missing_options(document, pytestconfig),
        *missing_modules(document),
    }
    missing -= {*NOT_OURS, *files_of_the_reader(document)}
    assert not missing, f"{document} mentions what does not exist: {', '.join(sorted(missing))}"


def test_the_readme_links_every_document():
    linked = re.findall(r"\]\((docs/\w+\.md)\)", text_of("README.md"))
    assert {name for name in DOCUMENTS if name.startswith("docs/")} <= set(linked)


def test_every_known_difference_is_a_finding():
    findings = re.findall(r"^\| ([KI]\d+) ", text_of("docs/findings.md"), re.M)
    assert len(findings) == len(set(findings))
    for path in (ROOT / "scenarios").glob("*.py"):
        marked = re.findall(r"known_difference\(\"(\w+)\"", path.read_text(encoding="utf-8"))
        assert set(marked) <= set(findings), path.name
