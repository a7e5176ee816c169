"""What to do where Postgres or Redis refuses, by SQLSTATE where there is one, else by their words,
OpenSSL's and PgBouncer's."""

from __future__ import annotations

import re

from models.database import sqlstate

AGAIN = "another session changed the same rows: do it again"
BY_SQLSTATE = {
    "25006": "DATABASE_URL names a read-only server: name its primary",
    "40001": AGAIN,
    "40P01": AGAIN,
    "42501": "run it as the owner, or grant what kos migrate grants ROLE prints",
    "53100": "free some space where Postgres keeps its data",
    "53300": "raise max_connections of Postgres",
    "55P03": "another session holds a lock: find it in pg_stat_activity, let it commit or end it",
    "57014": "it took too long: look again in a moment, or ask for less",
}
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""
REMEDIES = {
    "MISCONF": "free some space where Redis keeps its data",
    "maxmemory": "raise maxmemory of Redis",
    "read only replica": "REDIS_URL names a replica: name its primary",
    "unsupported startup parameter": "take it out of DATABASE_URL, or name it in "
    "ignore_startup_parameters of the pooler",
    "FATAL:  database": "create that database, or name another in DATABASE_URL",
    "FATAL:  role": "create that role, or name another in DATABASE_URL",
    "password authentication failed": "write its user and password in DATABASE_URL",
    "pg_hba.conf": "allow this user from this machine in pg_hba.conf",
    "permission denied for database": "GRANT CONNECT ON that DATABASE to the user of DATABASE_URL",
    "too many clients": "raise max_connections of Postgres",
    "connection slots are reserved": "raise max_connections of Postgres",
    "could not translate host name": "write the host name of Postgres in DATABASE_URL",
    "WRONGPASS": "write its user and password in REDIS_URL",
    "invalid username-password pair": "write its user and password in REDIS_URL",
    "Authentication required": "write its user and password in REDIS_URL",
    "DB index is out of range": "name a smaller database in REDIS_URL, or raise its databases",
    "statement pooling mode": "set pool_mode = transaction in the pooler",
    "does not match host name": "write the host name of its certificate in DATABASE_URL",
    "Hostname mismatch": "write the host name of its certificate in REDIS_URL",
    "IP address mismatch": "write the host name of its certificate in REDIS_URL",
    "ertificate verify failed": "name the file of the authority that signed its certificate: "
    "sslrootcert in DATABASE_URL, ssl_ca_certs in REDIS_URL",
    "root certificate file": "write in sslrootcert of DATABASE_URL where the authority's file is",
    "Error 2 connecting to": "write in ssl_ca_certs of REDIS_URL where the authority's file is",
    "does not support SSL": "set up TLS there, or write sslmode=disable in a network you trust",
    ", no encryption": "this server accepts TLS only: write sslmode=verify-full in DATABASE_URL",
    "client certificate": "name your certificate: sslcert and sslkey in DATABASE_URL",
    "violation of protocol": "write rediss:// in REDIS_URL only where that port accepts TLS; where "
    "it wants a certificate of yours, name it: ssl_certfile and ssl_keyfile",
    "Timeout connecting to server": "check REDIS_URL, also whether that port accepts TLS where it "
    "says rediss://",
    "Connection reset by peer')": "check REDIS_URL: where that port accepts TLS, it must say "
    "rediss://",
}
"""The first that is in the error. PgBouncer: https://www.pgbouncer.org/config.html."""
SERVER_ANSWERED = re.compile(r"(?:^|: )\w+:  ")
"""Before the words of a server that refuses a connection stands a word in its language (FATAL), and
two spaces; libpq's own words are English. A refused connection has no SQLSTATE."""
CHECK_CONNECTION = (
    "Postgres answers: check the user, its password and the database of DATABASE_URL, and "
    "pg_hba.conf of that server"
)


def remedy(error: object, otherwise: str) -> str:
    """What to do about ``error``, if it is one of these, else ``otherwise``."""
    text = str(error)
    by_state = BY_SQLSTATE.get(sqlstate(error)) if isinstance(error, BaseException) else None
    by_words = (advice for words, advice in REMEDIES.items() if words in text)
    refused = CHECK_CONNECTION if SERVER_ANSWERED.search(text) else otherwise
    return by_state or next(by_words, refused)
