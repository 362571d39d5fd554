"""`python -m rheobase` is the `rheobase` command; of several processes (`torchrun`) the first one speaks."""

import os
import sys

from rheobase.cli.main import run

if __name__ == "__main__":
    if int(os.environ.get("RANK", 0)):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    run()
