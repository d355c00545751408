"""The backend that sends netlink requests in batches, by a socket of each namespace."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from vxlab.apply import encoding
from vxlab.apply.application import Application
from vxlab.apply.site import Site
from vxlab.errors import ApplyError, VxlabError, in_words
from vxlab.netlink.messages import Request
from vxlab.plan.operations import AddLink, DelLink, Operation


class NetlinkBackend:
    """Applies plans by netlink; see :class:`vxlab.apply.site.Backend`."""

    name = "netlink"

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Apply ``operations`` in order, runs of one node as one batch each.

        ApplyError, with the kernel's error number and explanation, for the first one refused.
        """
        site.forget_all()
        _NetlinkApplication(site).apply(operations)


class _NetlinkApplication(Application):
    """One application of a plan."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.batch: list[tuple[Operation, Request]] = []

    def collect(self, operation: Operation) -> None:
        """Encode an operation at once: a name means the interface that has it at this point.

        That may be one that the batch before it creates, with an index that is not known yet.
        """
        try:
            request = self._encode(operation)
        except VxlabError:
            if not self.batch:
                raise
            self.send()
            request = self._encode(operation)
        if isinstance(operation, AddLink):
            self.site.learn(operation)
        elif isinstance(operation, DelLink):
            self.site.forget(operation.node, operation.name)
        self.batch.append((operation, request))

    def send(self) -> None:
        """Send the requests that were collected, and wait until they are done."""
        if not self.batch:
            return
        batch, self.batch = self.batch, []
        node = batch[0][0].node
        failures = self.site.socket(node).request([request for _, request in batch])
        for position, (code, extack) in sorted(failures.items()):
            operation = str(batch[position][0])
            raise ApplyError(operation, in_words(code), errno=code, extack=extack)

    def _encode(self, operation: Operation) -> Request:
        try:
            return encoding.encode(
                operation, self.site.index, lambda node: self.site.node(node).net
            )
        except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
            found = str(error) if isinstance(error, ValueError | struct.error) else repr(error)
            problem = f"wanted values that fit into a netlink message, found {found}"
            raise ApplyError(repr(operation), problem) from error
