"""What scenarios did on which kernel, with which iproute2 and backend: kept, compared, shown.

:mod:`~vxlab.results.store` keeps runs in a file, :mod:`~vxlab.results.comparison` compares two
columns and :mod:`~vxlab.results.timelines` many, :mod:`~vxlab.results.page` and
:mod:`~vxlab.results.junit` show them.
"""

from vxlab.results.model import Case, Cell, CellState, KnownDifference, Outcome, Run
from vxlab.results.store import Results

__all__ = ["Case", "Cell", "CellState", "KnownDifference", "Outcome", "Results", "Run"]
