"""HTTP sessions for model servers and agents that ignore the environment.

The servers are on this machine or network. A proxy from `HTTP_PROXY` could not reach them and would
answer in their place, and a .netrc could override an API key.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.cookies import RequestsCookieJar


def direct_session() -> requests.Session:
    """A session without proxies, .netrc and cookies."""
    session = requests.Session()
    session.trust_env = False
    cookies = RequestsCookieJar()
    cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.cookies = cookies
    return session


def get(url: str, *, seconds: float) -> requests.Response:
    """One GET of ``url``, redirects not followed; raises `requests.RequestException`."""
    with direct_session() as session:
        return session.get(url, timeout=seconds, allow_redirects=False)
