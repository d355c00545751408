"""Private namespaces round a whole program: everything in them ends with it.

The pytest plugin enters the sandbox by itself.  Other programs use :func:`run` or :func:`reenter`.
"""

from vxlab.sandbox.entering import enter, inside, isolate_worker, reenter, run, why_not

__all__ = ["enter", "inside", "isolate_worker", "reenter", "run", "why_not"]
