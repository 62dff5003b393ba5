"""HTTP requests with a timeout for busy machines."""

from functools import partial

import httpx

_SECONDS = 60.0

get = partial(httpx.get, timeout=_SECONDS)
post = partial(httpx.post, timeout=_SECONDS)
client = partial(httpx.Client, timeout=_SECONDS)
