"""The fast backend: netlink requests in batches, by a socket bound to each namespace."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable

from vxlab.backends import wire
from vxlab.backends.site import Site
from vxlab.errors import ApplyError, VxlabError
from vxlab.operations import (
    AddLink,
    AddNamespace,
    AddRule,
    DelLink,
    Operation,
    SetLink,
    SetSysctl,
    StartDaemon,
    StopDaemon,
)

#: Error names as the kernel's sources have them, where C has two for one number.
_ERRORS = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP"}


class NetlinkBackend:
    """Applies plans by netlink; see :class:`vxlab.backends.site.Backend`."""

    name = "netlink"

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Apply ``operations`` in order, runs of one node as one batch each.

        ApplyError, with the kernel's error number and explanation, for the first one refused.
        """
        site.forget_all()
        _Run(site).apply(operations)


class _Run:
    """One application of a plan."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.node = ""  # of what is collected: requests or settings, never both
        self.batch: list[tuple[Operation, tuple[int, int, bytes]]] = []
        self.settings: list[SetSysctl] = []
        self.settled = False
        self.rules: list[AddRule] = []

    def apply(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            if self.node != operation.node:
                self.flush()
                self.node = operation.node
            if isinstance(operation, AddRule):
                self.flush()
                self.rules.append(operation)
                continue
            self.set_rules()
            if not self._apply_own(operation):
                self.collect(operation)
        self.flush()
        self.set_rules()
        self.site.wait_ready()

    def _apply_own(self, operation: Operation) -> bool:
        """Do what is no netlink request; False where it is one."""
        match operation:
            case AddNamespace():
                self.site.add_node(operation.node)
                self.collect(SetLink(operation.node, "lo", up=True))
            case SetSysctl():
                if self.batch:
                    self.flush()
                self.settings.append(operation)
            case StartDaemon():
                self.flush()
                if not self.settled:  # pimd looks at its interfaces once, when it starts
                    self.site.wait_for_links()
                    self.settled = True
                self.site.start_daemon(operation)
            case StopDaemon():
                self.flush()
                self.site.stop_daemon(operation)
            case _:
                return False
        return True

    def set_rules(self) -> None:
        """Set the packet filter rules that were collected."""
        rules, self.rules = self.rules, []
        self.site.add_rules(rules)

    def collect(self, operation: Operation) -> None:
        """Encode an operation, at once, as its names mean what they do at its place in the order.

        What it names may be what the batch before it makes, under an index that is not known yet.
        """
        if self.settings:
            self.flush()
        try:
            request = self._encode(operation)
        except VxlabError:
            if not self.batch:
                raise
            self.flush()
            request = self._encode(operation)
        if isinstance(operation, AddLink):
            self.site.learn(operation)
        elif isinstance(operation, DelLink):
            self.site.forget(operation.node, operation.name)
        self.batch.append((operation, request))

    def flush(self) -> None:
        """Do what was collected."""
        if self.settings:
            settings, self.settings = self.settings, []
            self.site.set_sysctl(*settings)
        if not self.batch:
            return
        batch, self.batch = self.batch, []
        node = batch[0][0].node
        failures = self.site.socket(node).request([request for _, request in batch])
        for position, (code, extack) in sorted(failures.items()):
            reason = f"{os.strerror(code)} ({_ERRORS.get(code, code)})"
            raise ApplyError(str(batch[position][0]), reason, errno=code, extack=extack)

    def _encode(self, operation: Operation) -> tuple[int, int, bytes]:
        try:
            return wire.encode(operation, self.site.index, lambda node: self.site.node(node).net)
        except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
            problem = f"wanted values that fit into a netlink message, found {error!r}"
            raise ApplyError(repr(operation), problem) from error
