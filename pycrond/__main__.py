"""`python -m pycrond`: the command line.

Without -P, Python looks for modules in the working directory first.
"""

import os
import sys

here = "" if sys.flags.safe_path else sys.path.pop(0)

from pycrond.cli.main import entry  # noqa: E402 -- from the package itself, not from the working directory
from pycrond.cli.printing import print_error  # noqa: E402
from pycrond.errors import PycrondError  # noqa: E402
from pycrond.host import safe_paths  # noqa: E402

if here and os.geteuid() == 0:
    try:
        safe_paths.check_directory(here)
    except PycrondError as error:
        print_error(f"pycrond: {error}; use pycrond, or python -P -m pycrond")
        sys.exit(error.status)

entry()
