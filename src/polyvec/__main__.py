"""`python -m polyvec` is the `polyvec` command."""

import sys

from polyvec.cli import main

sys.exit(main())
