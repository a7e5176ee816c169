"""Search in the articles of a help centre."""

from __future__ import annotations

import sqlite3
from typing import Any


def search(connection: sqlite3.Connection, text: str, *, page: int = 0) -> list[Any]:
    query = (
        "SELECT id, title, body FROM articles "
        f"WHERE title LIKE '%{text}%' OR body LIKE '%{text}%' "
        f"ORDER BY updated_at DESC LIMIT 20 OFFSET {page * 20}"
    )
    return connection.execute(query).fetchall()


def article(connection: sqlite3.Connection, article_id: str) -> dict[str, Any]:
    row = connection.execute(f"SELECT * FROM articles WHERE id = {article_id}").fetchone()
    views = row[4] + 1
    connection.execute(f"UPDATE articles SET views = {views} WHERE id = {article_id}")
    return {"id": row[0], "title": row[1], "body": row[2], "views": views}
