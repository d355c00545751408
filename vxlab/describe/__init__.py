"""What a person writes down, and what follows from it, before a kernel is asked.

:mod:`~vxlab.describe.elements` are the parts of a topology, :mod:`~vxlab.describe.wiring` is how
they are joined, :mod:`~vxlab.describe.rules` and :mod:`~vxlab.describe.vtep_rules` check that all
fits, :mod:`~vxlab.describe.topology` is the checked whole and :mod:`~vxlab.describe.builder` writes
one.  :mod:`~vxlab.describe.vxlan` and :mod:`~vxlab.describe.entries` are the tables of vxlan
attributes and of what devices hold.
"""
