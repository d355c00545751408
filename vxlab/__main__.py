"""``python -m vxlab`` is the program ``vxlab``."""

import sys

from vxlab.cli import main

sys.exit(main())
