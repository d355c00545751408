"""7.12 MDB under load: entries change while groups are sent to, and the device goes on to work.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b
      vxlan0                        ├── .55 eth0 c
                                    └── .56 eth0 d

A thread sends frames to two groups all the while.
"""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from mdb_tools import (
    assert_sent_to,
    entry,
    group_frame,
    in_all_families,
    keep_entries,
    make_device,
    no_entry,
    overlay,
    rows,
    sent_to,
)

from vxlab import wait_until
from vxlab.operations import FlushMdb

ROUNDS = 50

pytestmark = [pytest.mark.requires("vxlan-mdb"), in_all_families]


@contextlib.contextmanager
def sending(lab, *frames):
    """Within the block frames leave a's device in turn: a function that counts them so far."""
    count, ended = [0], threading.Event()

    def send():
        while not ended.is_set():
            for frame in frames:
                sock.send(frame)
            count[0] += 1

    with lab["a"].socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("vxlan0", 0))
        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield lambda: count[0]
        finally:
            ended.set()
            thread.join()


def churn(lab, inner):
    """One round: entries are added, replaced, deleted and flushed."""
    named = {"filter_mode": "exclude", "source_list": (inner.source, inner.other_source)}
    include = {**named, "filter_mode": "include"}
    lab.apply(
        entry(lab, inner.group, "b", replace=True, **named),
        entry(lab, inner.group, "c", replace=True),
        entry(lab, inner.other, "d", replace=True, source=inner.source),
        entry(lab, inner.group, "b", replace=True, port=14789, **include),
        no_entry(lab, inner.group, "c"),
        by="netlink",
    )
    lab.apply(no_entry(lab, inner.group, "b"), FlushMdb("a", "vxlan0"), by="netlink")


@pytest.mark.behaviour(
    "while MDB entries are added, replaced, deleted and flushed a device goes on to send to their "
    "groups, and once all are gone it floods the groups again",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_remote_del(), vxlan_mdb_entry_put()",
)
@pytest.mark.control(
    "no MDB entry is deleted or flushed",
    change=keep_entries,
    because=f" is {sent_to('b')}, not {sent_to('bcd')}",
)
def test_groups_are_sent_to_while_entries_change(lab, chosen):
    inner = overlay(chosen)
    make_device(lab)
    groups = (inner.group, inner.other)
    with sending(lab, *(group_frame(one, inner.source, b"load") for one in groups)) as count:
        for _ in range(ROUNDS):
            before = count()
            churn(lab, inner)
            wait_until(lambda before=before: count() > before, "frames to be sent meanwhile")
    assert_sent_to(lab, ["b", "c", "d"], inner.group, inner.source)
    assert rows(lab) == []
    lab.apply(entry(lab, inner.group, "c"))
    assert_sent_to(lab, ["c"], inner.group, inner.source)
