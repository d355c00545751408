"""What this kernel and this machine can do: probed by trying, never concluded from a version.

A feature has a name: a part of the kernel (``vrf``), a kind of device (``kind.bond``), a vxlan
attribute (``vxlan.localbypass``), a program (``smcrouted``), or what iproute2 knows
(``ip.localbypass``, ``bridge.vni``).
``@pytest.mark.requires("vrf")`` and ``vxlab doctor`` use them by it.

Each probe runs when its name is first asked for, in a network namespace of its own, and is
remembered as long as the process lives.  Kernel probes need the sandbox (or root): where
namespaces cannot be made they report that, as a feature that is not available.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping

from vxlab.errors import VxlabError
from vxlab.features import attributes, iproute2, kernel, kinds, tools
from vxlab.features.model import NOT_TRIED, Check, Feature

__all__ = ["NOT_TRIED", "Feature", "all_features", "missing", "names", "probe"]

_CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        *kernel.CHECKS,
        *kinds.CHECKS,
        *attributes.CHECKS,
        *tools.CHECKS,
        *iproute2.CHECKS,
    )
}


def names() -> tuple[str, ...]:
    """The names of all features, in the order in which ``vxlab doctor`` shows them."""
    return tuple(_CHECKS)


@functools.cache
def probe(name: str) -> Feature:
    """Whether the feature ``name`` is there, tried once in a process.

    VxlabError, with the names that come near, where there is no such feature.
    """
    check = _CHECKS.get(name)
    if check is None and name.startswith(kinds.PREFIX):
        check = kinds.kind_check(name.removeprefix(kinds.PREFIX))
    if check is None:
        near = difflib.get_close_matches(name, _CHECKS)
        advice = f"did you mean {' or '.join(near)}?" if near else "`vxlab doctor` lists them"
        raise VxlabError(f"wanted the name of a feature, found {name!r}: {advice}")
    return check.feature()


def missing(wanted: Iterable[str]) -> list[Feature]:
    """Those of the features named ``wanted`` that are not there, in the same order."""
    return [feature for feature in map(probe, wanted) if not feature.available]


def all_features() -> tuple[Feature, ...]:
    """Every feature, in the order of :func:`names`."""
    return tuple(map(probe, _CHECKS))
