"""Looks for a text in everything that the product keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

# The application's own, and the list that keeps students out.
_LEFT_ALONE = ("exam.", "ops.erased_students")


def tables_with(url: str, text: str) -> list[str]:
    """Tables that hold a text as a word of its own in any column, and the planner's statistics."""
    word = rf"(^|[^[:alnum:]_]){re.escape(text)}($|[^[:alnum:]_])"
    found = []
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            """
            select nspname, relname
            from pg_catalog.pg_class as tables
            inner join pg_catalog.pg_namespace as schemas on tables.relnamespace = schemas.oid
            where
                relkind in ('r', 'p', 'm')
                and nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
            order by 1, 2
            """
        ).fetchall()
        for schema, table in tables:
            if f"{schema}.{table}".startswith(_LEFT_ALONE):
                continue
            query = sql.SQL("select count(*) from {} as row_of where row_of::text ~ %s").format(
                sql.Identifier(schema, table)
            )
            row = connection.execute(query, (word,)).fetchone()
            assert row is not None
            if row[0]:
                found.append(f"{schema}.{table}: {row[0]} rows")
        found += [
            f"statistics of {schema}.{table}.{column}"
            for schema, table, column in connection.execute(
                """
                select schemaname, tablename, attname
                from pg_catalog.pg_stats
                where concat_ws(' ', most_common_vals, histogram_bounds) ~ %s
                """,
                (word,),
            )
            if not f"{schema}.{table}".startswith(_LEFT_ALONE)
        ]
    return found


def files_with(folder: Path, text: str) -> list[str]:
    """Files below a folder whose path or content holds a text."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return objects_with(files, text)


def objects_with(objects: Mapping[str, bytes], text: str) -> list[str]:
    """Objects whose key or content holds a text."""
    word = re.compile(rf"(?<![\w]){re.escape(text)}(?![\w])")
    return [
        key
        for key, content in objects.items()
        if word.search(key) or word.search(content.decode("utf-8", "replace"))
    ]
