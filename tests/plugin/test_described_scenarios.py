"""What the scenarios say of themselves: chapters, sentences, and controls that are precise."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from vxlab.plugin.document import chapter_number

SCENARIOS = Path(__file__).parents[2] / "scenarios"
FILES = sorted(SCENARIOS.glob("test_*.py"))
TREES = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

#: Failures that nearly any fault of a lab brings about, or a mistake of the test itself.  A control
#: whose ``because`` matches one of them does not prove that it was the right thing that failed.
ANY_FAILURE = (
    "AssertionError: assert False",
    "AssertionError: assert None",
    "AssertionError: assert 0 == 1",
    "AssertionError: assert [] == [b'x']",
    "WaitTimeout: waited 3 s for something; found no frame at all",
    "CommandError: a: `ip link` ended with 1: no output",
    "ApplyError: a: ip link add",
    "Failed: DID NOT RAISE <class 'OSError'>",
)


def titles() -> dict[str, str]:
    return {name: (ast.get_docstring(tree) or "").split("\n")[0] for name, tree in TREES.items()}


def markers(tree: ast.Module, name: str) -> list[ast.Call]:
    """All uses of a marker, wherever they stand."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{name}"
    ]


def argument(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def text_of(node: ast.expr) -> str:
    """A string, with what is filled into an f-string standing for itself."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
        )
    return str(node.value) if isinstance(node, ast.Constant) else ""


def test_each_chapter_has_a_title_and_a_number_of_its_own() -> None:
    found = titles()
    assert all(found.values())
    numbers = Counter(filter(None, map(chapter_number, found.values())))
    assert [number for number, count in numbers.items() if count > 1] == []
    without = {name for name, title in found.items() if not chapter_number(title)}
    assert without == {path.name for path in FILES if path.name.startswith("test_e")}


def test_chapters_of_a_section_are_numbered_without_a_gap() -> None:
    numbers = sorted(filter(None, map(chapter_number, titles().values())))
    for section in {number[0] for number in numbers}:
        found = [number[1] for number in numbers if number[0] == section]
        assert found == list(range(1, len(found) + 1)), section


@pytest.mark.parametrize("file", TREES)
def test_each_control_says_which_failure_it_wants(file: str) -> None:
    for call in markers(TREES[file], "control"):
        because = argument(call, "because")
        unpacked = any(word.arg is None for word in call.keywords)
        assert because is not None or unpacked, f"line {call.lineno}: because= is missing"


@pytest.mark.parametrize("file", TREES)
def test_no_control_is_content_with_any_failure(file: str) -> None:
    for call in markers(TREES[file], "control"):
        pattern = argument(call, "because")
        if pattern is None or not text_of(pattern):
            continue  # computed: it is judged where it is used
        wanted = text_of(pattern)
        loose = [text for text in ANY_FAILURE if re.search(wanted, text)]
        assert loose == [], f"line {call.lineno}: because={wanted!r} matches any failure"


@pytest.mark.parametrize("file", TREES)
def test_no_sentence_needs_another_one_before_it(file: str) -> None:
    """Sentences stand alone in a table: none begins with a word that points elsewhere."""
    pointing = re.compile(r"(it|they|but|and|this|that|these|those|there (is|are)) ", re.IGNORECASE)
    for call in markers(TREES[file], "control") + markers(TREES[file], "behaviour"):
        sentence = text_of(call.args[0]) if call.args else ""
        assert not pointing.match(sentence), f"line {call.lineno}: {sentence}"


@pytest.mark.parametrize("file", TREES)
def test_no_lambda_puts_off_a_name(file: str) -> None:
    """``topology=lambda t: widened(t)`` is ``topology=widened``, with ``widened`` above it."""
    for call in markers(TREES[file], "control"):
        for word in call.keywords:
            if isinstance(word.value, ast.Lambda):
                names = [one.arg for one in word.value.args.args]
                body = word.value.body
                passed = (
                    [ast.unparse(one) for one in body.args] if isinstance(body, ast.Call) else []
                )
                assert passed != names, f"line {call.lineno}: {ast.unparse(word.value)}"


#: Seconds below which a ping without an answer says more of the machine than of the network.
SHORT = 5.0


def is_short_ping(node: ast.AST | None) -> bool:
    """Whether it is a call of ``ping`` with less patience, or with one that is computed."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    timeout = argument(node, "timeout")
    if not name.endswith("ping") or timeout is None:
        return False
    return not isinstance(timeout, ast.Constant) or float(str(timeout.value)) < SHORT


def short_pings_without_an_answer(tree: ast.Module) -> list[str]:
    """Where an assertion wants a short ping to get no answer, be it by way of a variable."""
    assigned: list[tuple[int, str, bool]] = []  # in which line, the name, whether a short ping
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.NamedExpr):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = any(map(is_short_ping, ast.walk(node.value)))
            assigned += [(node.lineno, ast.unparse(target), found) for target in targets]

    def is_answer(node: ast.AST) -> bool:
        if not isinstance(node, ast.Name):
            return is_short_ping(node)
        before = [one for one in assigned if one[1] == node.id and one[0] <= node.lineno]
        return max(before, default=(0, "", False))[2]

    def wants_none(node: ast.AST) -> bool:
        if isinstance(node, ast.Compare):
            nothing = [isinstance(one, ast.Constant) and not one.value for one in node.comparators]
            return any(nothing) and isinstance(node.ops[0], ast.Eq | ast.Is | ast.LtE)
        return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)

    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    return [
        f"line {part.lineno}: {ast.unparse(part)}"
        for statement in asserts
        for part in ast.walk(statement.test)
        if isinstance(part, ast.expr) and wants_none(part) and any(map(is_answer, ast.walk(part)))
    ]


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ('assert not lab["a"].ping(there, timeout=0.3)', True),
        ("assert not node.ping(there, timeout=seconds)", True),
        ("assert (not node.ping(there, timeout=4)) and more", True),
        ("assert node.ping(there, timeout=1).received == 0", True),
        ("answered = node.ping(there, timeout=1)\nassert not answered, 'words'", True),
        ("answered = bool(node.ping(there, timeout=1))\nassert answered is False", True),
        ("assert not (answered := node.ping(there, timeout=1))", True),
        ("assert not sized_ping(lab, there, 1500, timeout=2)", True),
        ("assert not node.ping(there)", False),
        ("assert not node.ping(there, timeout=5)", False),
        ("assert node.ping(there, timeout=1)", False),
        ("answered = node.ping(there, timeout=1)\nassert answered", False),
        ("a = node.ping(there, timeout=1)\nassert a\na = other()\nassert not a", False),
    ],
)
def test_the_check_of_short_pings_finds_what_it_looks_for(code: str, is_found: bool) -> None:
    assert bool(short_pings_without_an_answer(ast.parse(code))) == is_found


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.py")), ids=lambda path: path.name)
def test_no_scenario_takes_a_late_answer_for_none(path: Path) -> None:
    """On a slow machine a short ping is not answered either; see scenarios/absence_tools.py."""
    found = short_pings_without_an_answer(ast.parse(path.read_text(encoding="utf-8")))
    assert found == [], "prove it by what comes later, by a counter, or by a capture"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.py")), ids=lambda path: path.name)
def test_scenarios_use_public_names_only(path: Path) -> None:
    import vxlab

    public = {"vxlab": set(vxlab.__all__), "vxlab.operations": set(vxlab.operations.__all__)}
    public["vxlab.catalog"] = set(vxlab.catalog.__all__)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vxlab"):
            names = {alias.name for alias in node.names}
            assert names <= public.get(str(node.module), set()), ast.unparse(node)
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("vxlab.") for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            assert not private, ast.unparse(node)
