"""The public names of vxlab: which there are, where they live, and what loading them costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import get_origin

import pytest

import vxlab

#: Changing this list changes what users may rely on: add to it freely, take away with a warning.
PUBLIC = [
    "ApplyError",
    "Bond",
    "Bridge",
    "CapabilityError",
    "Capture",
    "CaptureError",
    "Captures",
    "CommandError",
    "Container",
    "DaemonError",
    "Device",
    "Diagnosis",
    "Dummy",
    "Encapsulated",
    "Frame",
    "Host",
    "Lab",
    "LinkKind",
    "Loopback",
    "Macvlan",
    "MissingProgram",
    "Netem",
    "NftRules",
    "Nic",
    "Node",
    "NodeState",
    "Ping",
    "Plan",
    "PortVlan",
    "ProbeError",
    "ReferenceVtep",
    "Result",
    "RouteHop",
    "Router",
    "Rule",
    "SandboxError",
    "Segment",
    "Setting",
    "StaticRoute",
    "Step",
    "Switch",
    "Topology",
    "TopologyBuilder",
    "TopologyError",
    "Vlan",
    "Vrf",
    "Vtep",
    "VxlabError",
    "Vxlan",
    "WaitTimeout",
    "catalog",
    "decapsulate",
    "devices",
    "diagnose",
    "difference",
    "drop_udp",
    "features",
    "frames",
    "lab_fixture",
    "make_plan",
    "operations",
    "raise_ttl",
    "sandbox",
    "script_of",
    "state",
    "steps",
    "vxlan",
    "wait_until",
]
MODULES = ["catalog", "devices", "features", "frames", "operations", "sandbox", "state", "vxlan"]
#: Names of other types, with the module that has a comment where a class has its docstring.
ALIASES = {"Plan": "plan.planner"}
TREE = ast.parse(Path(vxlab.__file__).read_text(encoding="utf-8"))


def test_the_public_names_are_these():
    assert vxlab.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(vxlab))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there(name):
    found = getattr(vxlab, name)
    if name in MODULES:
        assert found is importlib.import_module(vxlab._MODULES[name])
    elif name in ALIASES:
        assert get_origin(found) is tuple
    else:
        assert found.__name__ == name
        assert found.__module__.startswith("vxlab.")


def test_all_errors_are_public():
    from vxlab import errors

    family = {
        name for name, found in vars(errors).items() if inspect.isclass(found) and name[0] != "_"
    }
    assert family <= set(PUBLIC)
    assert all(issubclass(getattr(vxlab, name), vxlab.VxlabError) for name in family)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_documented(name):
    words = inspect.getdoc(getattr(vxlab, name)) or ""
    if name in ALIASES:
        source = Path(importlib.import_module(f"vxlab.{ALIASES[name]}").__file__ or "").read_text()
        words = " ".join(re.findall(rf"^#: (.+)\n{name}\b", source, re.MULTILINE))
    assert words.strip()
    assert not words.startswith(f"{name}("), "what a dataclass says of itself is no documentation"


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_method_is_documented(name):
    """The docstring may be that of the method it replaces."""
    found = getattr(vxlab, name)
    if not inspect.isclass(found):
        return
    kinds = (FunctionType, property, classmethod, staticmethod)
    undocumented = [
        member
        for member, value in vars(found).items()
        if not member.startswith("_")
        and isinstance(value, kinds)
        and not inspect.getdoc(getattr(found, member))
    ]
    assert undocumented == []


def test_all_names_come_by_a_star():
    names: dict[str, object] = {}
    exec("from vxlab import *", names)
    assert set(PUBLIC) <= set(names)


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'vxlab' has no attribute 'nonsense'"):
        _ = vxlab.nonsense
    with pytest.raises(ImportError, match="nonsense"):
        exec("from vxlab import nonsense")
    assert not hasattr(vxlab, "DaemonErrors")


def test_type_checkers_find_each_name_where_it_is_loaded_from():
    """The imports that only type checkers see are those that `__getattr__` does."""
    (block,) = [
        node
        for node in TREE.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imported = {
        node.module: tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert len(imported) == len(block.body)
    modules = {name: vxlab._MODULES[name].rpartition(".")[0] for name in MODULES}
    assert modules == {
        name: package
        for package in ("vxlab", "vxlab.describe", "vxlab.observe")
        for name in imported.pop(package)
    }
    assert imported == {f"vxlab.{module}": names for module, names in vxlab._HOME.items()}
    everywhere = [name for names in vxlab._HOME.values() for name in names]
    assert sorted([*everywhere, *MODULES]) == sorted(PUBLIC)


def test_the_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", vxlab.__version__)


def loaded_by(statement: str) -> set[str]:
    """All modules of a fresh interpreter that has run a statement."""
    folder = str(Path(vxlab.__file__).parent.parent)
    script = (
        f"import sys; sys.path.insert(0, {folder!r})\n{statement}\n"
        "import json; print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


HEAVY = {"scapy", "pyroute2", "testinfra", "hypothesis"}


def test_importing_vxlab_loads_nothing_else():
    loaded = loaded_by("import vxlab")
    assert not loaded & {*HEAVY, "pytest", "_pytest"}
    assert [name for name in loaded if name.startswith("vxlab")] == ["vxlab"]


def test_using_every_public_name_loads_no_heavy_library():
    loaded = loaded_by("from vxlab import *")
    assert not loaded & {*HEAVY, "pytest", "_pytest"}
    assert "vxlab.live.lab" in loaded


def test_the_plugin_is_loaded_quickly_in_projects_that_have_no_lab():
    loaded = loaded_by("import vxlab.plugin.hooks")
    assert not loaded & {*HEAVY, "vxlab.live.lab", "vxlab.observe.state", "vxlab.features"}
    assert "pytest" in loaded
