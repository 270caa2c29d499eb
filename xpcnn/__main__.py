"""``python -m xpcnn`` is the same program as ``xpcnn``."""

import sys

from xpcnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
