"""The reference VTEP: one end of a VXLAN tunnel that is not the kernel.

A scenario between two kernel devices shows that they agree with each other; one between the
kernel and this shows that the kernel keeps to RFC 7348, and what it does with packets that no
kernel would send.  It takes the place of a host's vxlan device::

    lonely = catalog.point_to_point().with_host("b", vteps=())
    lonely = lonely.with_vtep("a", "overlay", remotes=("192.168.57.54",))

    @pytest.mark.topology(lonely)
    def test_the_kernel_talks_to_the_reference(lab):
        with ReferenceVtep(lab["b"]) as far:
            assert lab["a"].ping("172.18.1.3")
            assert far.ping("172.18.1.2")
            assert not any(row.problem for row in far.received)

The header's layouts are in :mod:`vxlab.reference.header`.
"""

from __future__ import annotations

from vxlab.reference.header import Header
from vxlab.reference.received import Received
from vxlab.reference.vtep import ReferenceVtep

__all__ = ["Header", "Received", "ReferenceVtep"]
