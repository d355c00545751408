"""A bad description is refused with the node and the field that are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from bad_description_cases import BAD, open_lab

from vxlab.errors import TopologyError, VxlabError

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_there_are_many_cases() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize(("make", "node", "field", "said"), BAD.values(), ids=BAD)
def test_a_bad_description_is_refused(make: Any, node: str, field: str, said: str) -> None:
    with pytest.raises(TopologyError) as caught:
        open_lab(make)
    error = caught.value
    assert isinstance(error, VxlabError)
    assert (error.node, error.field) == (node, field)
    assert str(error).startswith(f"{node}: {field}: ")
    assert said in error.problem
    assert any(word in error.problem for word in ("found", "has", "is", "sits"))
