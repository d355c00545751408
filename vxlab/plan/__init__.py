"""From a topology to operations, without a kernel.

:mod:`~vxlab.plan.operations` has one frozen record for each thing that can be done to a lab,
:mod:`~vxlab.plan.planner` turns a topology into an ordered tuple of them.
"""
