"""What this kernel and this machine can do: probed by trying, never concluded from a version.

A feature has a name: a part of the kernel (``vrf``), a kind of device (``kind.bond``), a vxlan
attribute (``vxlan.localbypass``), a program (``smcrouted``), or what iproute2 knows
(``ip.localbypass``, ``bridge.vni``).
``@pytest.mark.requires("vrf")`` and ``vxlab doctor`` use them by it.

Each probe runs when its name is first asked for, in a network namespace of its own, and what it
found is remembered as long as the process lives.  Kernel probes need the sandbox (or root).  Where
a probe is not answered, since namespaces cannot be made, say, or memory is short, that is a
:class:`~vxlab.errors.ProbeError`, never a missing feature, and the probe is tried again when the
name is next asked for (:mod:`vxlab.features.verdicts`).
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping

from vxlab.errors import ProbeError, VxlabError
from vxlab.features import attributes, iproute2, kernel, kinds, tools
from vxlab.features.model import Check, Feature

__all__ = ["Feature", "all_features", "missing", "names", "probe", "survey"]

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


def _check_named(name: str) -> Check:
    check = _CHECKS.get(name)
    if check is None and name.startswith(kinds.PREFIX):
        check = kinds.kind_check(name.removeprefix(kinds.PREFIX))
    if check is None:
        near = difflib.get_close_matches(name, _CHECKS)
        advice = f"did you mean {' or '.join(near)}?" if near else "`vxlab doctor` lists them"
        raise VxlabError(f"wanted the name of a feature, found {name!r}: {advice}")
    return check


@functools.cache  # which does not remember errors
def probe(name: str) -> Feature:
    """Whether the feature ``name`` is there, tried until there is an answer, which is remembered.

    VxlabError, with the names that come near, where there is no such feature; ProbeError where the
    machine gives no answer.
    """
    return _check_named(name).feature()


def missing(wanted: Iterable[str]) -> list[Feature]:
    """Those of the features named ``wanted`` that are not there, in the same order.

    The errors are those of :func:`probe`.
    """
    return [feature for feature in map(probe, wanted) if not feature.available]


def survey(wanted: Iterable[str]) -> tuple[Feature, ...]:
    """The features named ``wanted``, for people to look at.

    One that no answer was found about is among them, and not ``known``.  VxlabError for a name
    that no feature has.
    """
    return tuple(map(_surveyed, wanted))


def _surveyed(name: str) -> Feature:
    try:
        return probe(name)
    except ProbeError as error:
        return _check_named(name).unknown(error)


def all_features() -> tuple[Feature, ...]:
    """Every feature, in the order of :func:`names`; see :func:`survey`."""
    return survey(_CHECKS)
