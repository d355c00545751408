"""The folders of vxlab show the way data goes: no import runs back up, and there is no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import vxlab

ROOT = Path(vxlab.__file__).parent

#: Packages and modules in the order of docs/architecture.md: each imports only from those before
#: it, and from itself.
ORDER = (
    "errors",
    "system",
    "netlink",
    "sandbox",
    "describe",
    "plan",
    "catalog",
    "observe",
    "services",
    "apply",
    "live",
    "reference",
    "explain",
    "features",
    "results",
    "plugin",
    "vm",
    "matrix",
    "commands",
)
#: What stands before all of them: the public doors, and the start of the command line.
DOORS = ("__init__", "__main__", "operations")

#: Modules by their dotted names, ``vxlab`` being that of ``__init__``.
MODULES = {
    ".".join(["vxlab", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imports_of(source: str) -> Iterator[str]:
    """The modules of vxlab that a source imports: at its start, within functions, and for types."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("vxlab"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "vxlab":
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in MODULES else str(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"wanted absolute imports, found line {node.lineno}")


def room_of(module: str) -> str:
    """The package below vxlab, or the module directly in it, that a module belongs to."""
    return module.split(".")[1] if module != "vxlab" else "__init__"


IMPORTS = {name: sorted(set(imports_of(path.read_text()))) for name, path in MODULES.items()}


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room_of(name) for name in MODULES} == {*ORDER, *DOORS}


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_from_rooms_before_it(room: str) -> None:
    allowed = {*ORDER[: ORDER.index(room) + 1], "__init__"}
    wrong = [
        f"{name} imports {imported}"
        for name, found in IMPORTS.items()
        if room_of(name) == room
        for imported in found
        if room_of(imported) not in allowed
    ]
    assert not wrong, f"{room} may import from {', '.join(sorted(allowed))}"


def test_the_public_face_is_asked_for_its_version_only() -> None:
    """Inside, names come from where they live, not by way of ``vxlab`` itself."""
    wrong = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "vxlab" and name != "vxlab":
                names = {alias.name for alias in node.names}
                wrong += [name] if names - {"__version__", *ORDER} else []
    assert wrong == []


def circles(imports: Mapping[str, list[str]]) -> list[list[str]]:
    """Every set of modules that import one another, by Tarjan's algorithm."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for imported in imports.get(name, ()):
            if imported not in order:
                visit(imported)
                low[name] = min(low[name], low[imported])
            elif imported in stack:
                low[name] = min(low[name], order[imported])
        if low[name] == order[name]:
            at = stack.index(name)
            members, stack[at:] = stack[at:], []
            if len(members) > 1 or name in imports.get(name, ()):
                found.append(sorted(members))

    for name in imports:
        if name not in order:
            visit(name)
    return found


def test_no_modules_import_one_another() -> None:
    """The doors are left out: they name what lies behind them, which never asks them."""
    inside = {name: found for name, found in IMPORTS.items() if room_of(name) in ORDER}
    assert circles(inside) == []


def test_a_circle_is_found() -> None:
    imports = {"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": [], "e": ["e"]}
    assert circles(imports) == [["a", "b", "c"], ["e"]]


def test_an_import_is_found_wherever_it_stands() -> None:
    source = """
from vxlab.observe import frames
from vxlab.errors import VxlabError
if TYPE_CHECKING:
    from vxlab.live.lab import Lab
def late():
    import vxlab.catalog
"""
    assert sorted(imports_of(source)) == [
        "vxlab.catalog",
        "vxlab.errors",
        "vxlab.live.lab",
        "vxlab.observe.frames",
    ]


def test_few_modules_stand_directly_in_the_package() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 6


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_and_functions_stay_small() -> None:
    """At most 400 lines a module, and half of them at most 155; functions fit on a screen."""
    modules = sorted((len(path.read_text().splitlines()), name) for name, path in MODULES.items())
    assert modules[-1][0] <= 400, modules[-1]
    assert modules[len(modules) // 2][0] <= 155
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES.values()
        for node in functions_of(ast.parse(path.read_text()))
    )
    assert lengths[int(len(lengths) * 0.95)] <= 26


def test_no_two_types_have_one_name() -> None:
    """One word, one thing: also where one of the types is private to its module."""
    found: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name.strip("_"), []).append(name)
    assert {word: places for word, places in found.items() if len(places) > 1} == {}


def test_the_picture_shows_every_room() -> None:
    """docs/architecture.md names all packages, in this order."""
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" `/") for line in text.splitlines() if line[:3] == "| `"]
    assert [row for row in rows if row in ORDER] == list(ORDER[1:])
