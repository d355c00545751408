"""What is there and what passes: captures, frames, and the state of nodes.

:mod:`~vxlab.observe.capture` proves that it is live before silence counts,
:mod:`~vxlab.observe.frames` takes frames apart, :mod:`~vxlab.observe.state` reads the kernel's
tables.
"""
