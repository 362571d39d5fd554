"""Property tests draw the same examples on every run of `make test`; `RHEOBASE_EXPLORE=1` draws new ones."""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("explore" if os.environ.get("RHEOBASE_EXPLORE") else "same")
