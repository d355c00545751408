"""The far end of a tunnel, as the fixture `far` gives it: the VTEP of host b, of two kinds.

With "kernel" b keeps its own vxlan device.  With "reference" that device is deleted, and a VTEP
in Python takes its place, which shares no code with the kernel nor with vxlab.frames: it notices
an error that two kernel VTEPs would make alike.
"""

from __future__ import annotations

import contextlib

from vxlab import operations, wait_until

#: Inner addresses that no host has: b decapsulates packets to them, and drops them unanswered.
INNER_SOURCE, INNER_DESTINATION = "198.51.100.1", "198.51.100.2"

#: Seconds in which a frame must arrive; only reached where something is broken.
ARRIVAL_DEADLINE = 10.0


@contextlib.contextmanager
def far_end(lab, kind):
    """The far end of a lab: the vxlan device of b, or the reference VTEP in its place."""
    with (_KernelEnd if kind == "kernel" else _ReferenceEnd)(lab) as far:
        yield far


class _FarEnd:
    """What both kinds have: overlay ``address`` and ``mac``, underlay ``ip``, inner ``frames``."""

    def __init__(self, lab):
        host = lab.topology.host("b")
        self.lab, self.vtep = lab, host.vteps[0]
        self.ip, self.address = host.nics[0].ip, self.vtep.addresses[0].split("/")[0]
        self.attributes = lab.topology.attributes(host, self.vtep)

    def wait_for(self, frame, timeout=ARRIVAL_DEADLINE):
        """Wait until the far end has decapsulated exactly this inner frame."""

        def found():
            return f"{len(self.frames)} frames, the last {self.frames[-1:]!r}"

        what = f"{self} to decapsulate {frame!r}"
        wait_until(lambda: frame in self.frames, what, timeout=timeout, found=found)


class _KernelEnd(_FarEnd):
    def __init__(self, lab):
        super().__init__(lab)
        (link,) = lab["b"].ip("link", "show", self.vtep.device)
        self.mac, self.device = link["address"], self.vtep.device

    def __enter__(self):
        place = f"b:{self.device}"
        self._captures = self.lab.capture(place)
        self._seen = self._captures.__enter__()[place]
        return self

    def __exit__(self, *error):
        self._captures.__exit__(*error)

    def __str__(self):
        return "the kernel's VTEP b"

    @property
    def frames(self):
        """All inner frames that were decapsulated so far, as bytes."""
        return [frame.data for frame in self._seen.frames if not frame.outgoing]

    def ping(self, address):
        """Ping from the far end's overlay address."""
        return bool(self.lab["b"].ping(address))

    def assert_same_outer(self, outer):
        """Nothing: the kernel does not show how it has read an outer header."""


class _ReferenceEnd(_FarEnd):
    def __enter__(self):
        from vxlab import ReferenceVtep

        self.lab.apply(operations.DelLink("b", self.vtep.device))
        host = self.lab.topology.host("a")
        self.vtep_in_python = ReferenceVtep(
            self.lab["b"],
            self.attributes["id"],
            local=self.ip,
            remotes=host.nics[0].ip,
            port=self.lab.topology.port(self.lab.topology.host("b"), self.vtep),
            address=self.vtep.addresses,
        ).open()
        self.mac = self.vtep_in_python.mac
        return self

    def __exit__(self, *error):
        self.vtep_in_python.close()

    def __str__(self):
        return "the reference VTEP b"

    @property
    def rows(self):
        """All packets so far in which the reference VTEP found no fault."""
        return [row for row in self.vtep_in_python.received if not row.problem]

    @property
    def frames(self):
        """All inner frames that were decapsulated so far, as bytes."""
        return [row.inner for row in self.rows]

    def ping(self, address):
        """Ping from the far end's overlay address."""
        return bool(self.vtep_in_python.ping(address))

    def assert_same_outer(self, outer):
        """Assert that the reference VTEP has read the outer header as ``outer`` says."""
        (row,) = [row for row in self.rows if row.inner == outer.inner]
        read = (row.vni, row.source_port, row.ttl, row.tos, row.outer_src, row.payload[:8])
        wanted = (outer.vni, outer.source_port, outer.ttl, outer.tos, outer.source, outer.header)
        assert read == wanted, "the reference VTEP has read another outer header"
