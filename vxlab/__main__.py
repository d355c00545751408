"""``python -m vxlab`` is the program ``vxlab``."""

import sys

from vxlab.commands.main import main

sys.exit(main())
