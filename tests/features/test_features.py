"""Features by name: tried once, with a reason and a hint where they are missing."""

from __future__ import annotations

import errno

import pytest

from vxlab import features
from vxlab.errors import ApplyError, CapabilityError, MissingProgram, VxlabError
from vxlab.features import Feature, attributes, iproute2, kernel, kinds, tools
from vxlab.features.model import Check
from vxlab.features.verdicts import kernel_said


def ended_with(error: Exception | str) -> Feature:
    """What is found of a feature whose attempt ended so: by an error, or with a version."""

    def attempt() -> str:
        if isinstance(error, Exception):
            raise error
        return error

    return Check(
        name="thing", title="a thing", attempt=attempt, hint="get one", required=True
    ).feature()


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (OSError(errno.ENODEV, "x"), 'the kernel answered "No such device"', "get one"),
        (
            ApplyError("add", "no", errno=errno.EOPNOTSUPP, extack="Unknown device type"),
            'the kernel answered "Operation not supported" (Unknown device type)',
            "get one",
        ),
        (MissingProgram("tool", "toolbox"), "found no program tool", "install the package toolbox"),
        (MissingProgram("tool"), "found no program tool", "get one"),
        (CapabilityError("said no"), "said no", "get one"),
    ],
)
def test_every_way_to_fail_has_its_reason_and_hint(
    error: Exception, reason: str, hint: str
) -> None:
    expected = Feature(
        name="thing", title="a thing", available=False, reason=reason, hint=hint, required=True
    )
    assert ended_with(error) == expected


def test_an_error_that_is_no_verdict_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        ended_with(ZeroDivisionError())


def test_a_feature_that_is_there_has_no_reason() -> None:
    assert ended_with("2.0") == Feature(
        name="thing", title="a thing", available=True, version="2.0", required=True
    )


def test_the_sentence_says_what_is_needed_why_and_what_to_do() -> None:
    missing = Feature(
        name="vrf",
        title="",
        available=False,
        reason=kernel_said(errno.EOPNOTSUPP),
        hint="go elsewhere",
    )
    assert missing.sentence() == (
        'needs vrf: the kernel answered "Operation not supported"; go elsewhere'
    )
    assert Feature(name="ip", title="", available=True, version="6.1").sentence() == "has ip 6.1"
    assert Feature(name="vrf", title="", available=True).sentence() == "has vrf"


def test_names_are_unique() -> None:
    checks = [*kernel.CHECKS, *kinds.CHECKS, *attributes.CHECKS, *tools.CHECKS, *iproute2.CHECKS]
    assert len(features.names()) == len(checks)


def test_all_features_come_in_the_order_of_their_names() -> None:
    assert tuple(feature.name for feature in features.all_features()) == features.names()


def test_what_is_missing_says_why_and_what_to_do() -> None:
    for feature in features.all_features():
        assert feature.title
        assert feature.available != bool(feature.reason and feature.hint)


def test_missing_names_those_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt() -> str:
        raise CapabilityError("no")

    fakes = {
        f"test-missing-{name}": Check(name=f"test-missing-{name}", title="", attempt=how, hint="")
        for name, how in {"a": attempt, "b": str, "c": attempt}.items()
    }
    monkeypatch.setattr(features, "_CHECKS", fakes)
    found = features.missing(["test-missing-c", "test-missing-b", "test-missing-a"])
    assert [feature.name for feature in found] == ["test-missing-c", "test-missing-a"]


def test_a_feature_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def attempt() -> str:
        tries.append(1)
        return ""

    monkeypatch.setattr(
        features,
        "_CHECKS",
        {"test-once": Check(name="test-once", title="", attempt=attempt, hint="")},
    )
    assert tries == []
    assert features.probe("test-once") is features.probe("test-once")
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("vfr", "did you mean vrf"),
        ("vxlan.localbypas", "did you mean vxlan.localbypass"),
        ("quantum-teleport", "`vxlab doctor` lists them"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_what_comes_near(name: str, advice: str) -> None:
    with pytest.raises(VxlabError, match=f"found '{name}': {advice}"):
        features.missing([name])
