"""The far end of a tunnel, as the fixture `far` gives it: host b, either way.

With "kernel" b keeps its own vxlan device; with "reference" it is taken away, and a VTEP that
shares no code with the kernel nor with vxlab.observe.frames takes its place.  An error that two kernels
make alike, and therefore never notice, is seen by the latter.
"""

from __future__ import annotations

import contextlib

from vxlab import operations, wait_until
from vxlab.system.waiting import DEADLINE

#: Hosts of the overlay that nobody is: b drops what it takes out for them, and says nothing.
HERE, THERE = "198.51.100.1", "198.51.100.2"


@contextlib.contextmanager
def far_end(lab, kind):
    """The far end of a lab: b's own device, or the reference in its place."""
    with (_KernelEnd if kind == "kernel" else _ReferenceEnd)(lab) as far:
        yield far


class _FarEnd:
    """What both ends have: overlay ``address`` and ``mac``, underlay ``ip``, what they took out."""

    def __init__(self, lab):
        host = lab.topology.host("b")
        self.lab, self.vtep = lab, host.vteps[0]
        self.ip, self.address = host.nics[0].ip, self.vtep.addresses[0].split("/")[0]
        self.asked = lab.topology.attributes(host, self.vtep)

    def wait_for(self, frame, timeout=DEADLINE):
        """Wait until the far end has taken out exactly this inner frame."""

        def found():
            return f"{len(self.frames)} frames, the last {self.frames[-1:]!r}"

        what = f"{self} to take out {frame!r}"
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
        return "the kernel's far end"

    @property
    def frames(self):
        """All inner frames taken out so far, as bytes."""
        return [frame.data for frame in self._seen.frames if not frame.outgoing]

    def ping(self, address):
        """Ping from the far end's overlay address."""
        return bool(self.lab["b"].ping(address))

    def agrees(self, outer):
        """The kernel shows nothing of an outer header: what it took out has to be enough."""


class _ReferenceEnd(_FarEnd):
    def __enter__(self):
        from vxlab.reference import ReferenceVtep

        self.lab.apply(operations.DelLink("b", self.vtep.device))
        host = self.lab.topology.host("a")
        self.vtep_in_python = ReferenceVtep(
            self.lab["b"],
            self.asked["id"],
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
        return "the reference"

    @property
    def rows(self):
        """All packets so far that the reference has nothing against."""
        return [row for row in self.vtep_in_python.received if not row.problem]

    @property
    def frames(self):
        """All inner frames taken out so far, as bytes."""
        return [row.inner for row in self.rows]

    def ping(self, address):
        """Ping from the far end's overlay address."""
        return bool(self.vtep_in_python.ping(address))

    def agrees(self, outer):
        """Assert that the reference has read the outer header of a packet in the same way."""
        (row,) = [row for row in self.rows if row.inner == outer.inner]
        assert (row.vni, row.source_port, row.ttl, row.tos) == (
            outer.vni,
            outer.source_port,
            outer.ttl,
            outer.tos,
        )
        assert (row.outer_src, row.payload[:8]) == (outer.source, outer.header)
