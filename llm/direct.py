"""HTTP sessions for model servers and agents: nothing of the environment stands between.

They are on this machine or in this network, where a proxy of `HTTP_PROXY` cannot reach them and
would answer in their place; nor may a .netrc override a key.
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
