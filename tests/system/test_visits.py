"""Visits of a thread to a node end with their block, and at the latest with the node."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from namespace_tools import HOME, here

from vxlab.errors import VxlabError
from vxlab.system import visits
from vxlab.system.namespaces import Namespaces


def test_closing_a_node_ends_the_visit_to_it() -> None:
    node = Namespaces("n1")
    with node.entered():
        assert here() != HOME
        node.close()
        assert here() == HOME
    assert (here(), visits.open_visits()) == (HOME, 0)


def test_what_began_within_a_visit_ends_with_it(node: Namespaces) -> None:
    with Namespaces("n2") as other:
        outer, inner = node.entered(), other.entered()
        outer.__enter__()
        inside = here()
        inner.__enter__()  # and never ends, as where an exception came at its very end
        other.close()
        assert here() == inside
        other_again = node.entered()
        other_again.__enter__()
        visits.end_visits(1)
        assert (here(), visits.open_visits()) == (inside, 1)
        outer.__exit__(None, None, None)
    assert (here(), visits.open_visits()) == (HOME, 0)
    inner.__exit__(None, None, None)
    assert here() == HOME


def test_a_visit_in_a_coroutine_is_refused(node: Namespaces) -> None:
    async def block() -> None:
        with node.entered():
            await asyncio.sleep(0)

    async def stack() -> None:
        with contextlib.ExitStack() as undo:
            undo.enter_context(node.entered())

    for function in (block, stack):
        name = function.__name__
        with pytest.raises(VxlabError, match=rf"n1: .* found the coroutine {name}\(\).*to_thread"):
            asyncio.run(function())
        assert here() == HOME


def test_a_plain_function_visits_and_so_does_another_thread(node: Namespaces) -> None:
    def names() -> list[str]:
        with node.entered():
            return [name for _, name in socket.if_nameindex()]

    async def ask() -> list[list[str]]:
        return [names(), await asyncio.to_thread(names)]

    assert asyncio.run(ask()) == [["lo"], ["lo"]]
    assert here() == HOME
