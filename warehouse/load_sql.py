"""The SQL of a load: PostgreSQL itself judges each line and stores the good ones.

The text of a line travels to the server as it was written and is parsed there, once to check
and once to store; `pg_input_is_valid` turns what would be an error into a reason. Names come
from `warehouse.tables`, values never enter the text of a statement.
"""

from warehouse.tables import ID_MAX_BYTES, Column, Kind, Table

CREATE_STAGE = """
create temporary table stage_lines (
    line_number bigint not null,
    line text not null
) on commit drop
"""

# Filled by the check; a reason means the line is rejected. A document (result_json) is kept
# apart from the other values: each look at a value unpacks all that is stored with it.
CREATE_CHECKED = """
create temporary table stage_checked (
    line_number bigint not null,
    content jsonb,
    documents jsonb,
    reason text,
    detail text
) on commit drop
"""

EXCERPT_CHARACTERS = 100_000

REJECTS = f"""
select
    checked.line_number,
    checked.reason,
    checked.detail,
    left(line.line, {EXCERPT_CHARACTERS}) as line,
    length(line.line) > {EXCERPT_CHARACTERS} as is_cut
from stage_checked as checked
inner join stage_lines as line on checked.line_number = line.line_number
where checked.reason is not null
order by checked.line_number
"""  # noqa: S608 - a constant

UNKNOWN_COLUMNS = """
select distinct names.name
from stage_checked as checked
cross join lateral jsonb_object_keys(checked.content) as names (name)
where checked.reason is null and names.name <> all(%(known)s)
"""

# Year-month-day first, digits only: words such as "now" or "infinity" are no timestamps.
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)? ?(Z|[+-]\d{2}(:?\d{2})?)?$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_SCALAR_KINDS = {
    Kind.FLOAT: ("double precision", _NUMBER),
    Kind.INTEGER: ("integer", _NUMBER),
    Kind.TIMESTAMP: ("timestamp with time zone", _TIMESTAMP),
    Kind.DATE: ("date", _DATE),
    Kind.UUID: ("uuid", "."),
}


def _json(column: Column) -> str:
    values = "documents" if column.kind is Kind.JSON else "content"
    return f"{values} -> '{column.name}'"


def _text(column: Column) -> str:
    # An empty id is no id; an empty timestamp or number is not delivered.
    if column.kind is Kind.TEXT:
        return f"(content ->> '{column.name}')"
    return f"nullif(btrim(content ->> '{column.name}'), '')"


def _is_missing(column: Column) -> str:
    if column.kind is Kind.JSON:
        return f"coalesce(jsonb_typeof({_json(column)}), 'null') = 'null'"
    return f"{_text(column)} is null"


def _is_bad(column: Column) -> str | None:
    """Return the condition under which a value that is there cannot be stored."""
    kind = f"jsonb_typeof({_json(column)})"
    if column.kind is Kind.JSON:
        return None
    if column.kind in (Kind.ID, Kind.TEXT):
        condition = f"{kind} not in ('string', 'number', 'boolean', 'null')"
        if column.kind is Kind.ID:
            condition = (
                f"{kind} not in ('string', 'number', 'null') "
                f"or octet_length({_text(column)}) > {ID_MAX_BYTES}"
            )
        return condition
    name, pattern = _SCALAR_KINDS[column.kind]
    conditions = [
        f"{kind} not in ('string', 'number', 'null')",
        f"{_text(column)} !~ '{pattern}'",
        f"not pg_input_is_valid({_text(column)}, '{name}')",
    ]
    # Nothing is cast before it is known to be castable: `case` keeps that order.
    limits = []
    if column.minimum is not None:
        limits.append(f"{_text(column)}::{name} < {column.minimum}")
    if column.maximum is not None:
        limits.append(f"{_text(column)}::{name} > {column.maximum}")
    condition = " or ".join(conditions)
    if limits:
        return f"case when {condition} then true else {' or '.join(limits)} end"
    return condition


def check(table: Table) -> str:
    """Return the statement that judges the staged lines from %(first)s to %(last)s."""
    by_name = {column.name: column for column in table.columns}
    cases = []
    for column in table.columns:
        missing = _is_missing(column)
        if column.fallback is not None:
            missing = f"{missing} and {_is_missing(by_name[column.fallback])}"
        if column.is_required:
            cases.append(f"when {missing} then 'missing_{column.name}'")
    for column in table.columns:
        bad = _is_bad(column)
        if bad is not None:
            cases.append(f"when {bad} then 'bad_{column.name}'")
    named = [f"'{column.name}'" for column in table.columns if column.kind is Kind.JSON]
    documents = ", ".join(named)
    document_pairs = ", ".join(f"{name}, whole -> {name}" for name in named)
    return f"""
insert into stage_checked (line_number, content, documents, reason, detail)
with judged as materialized (
    select line_number, line, pg_input_is_valid(line, 'jsonb') as is_valid
    from stage_lines
    where line_number between %(first)s and %(last)s
),
parsed as materialized (
    select
        line_number,
        case when is_valid then line::jsonb end as whole,
        case
            when not is_valid
                then (select concat_ws(': ', info.message, info.detail)
                    from pg_input_error_info(line, 'jsonb') as info)
        end as detail,
        not is_valid and position('\\u0000' in line) > 0 as has_nul
    from judged
),
divided as materialized (
    select
        line_number,
        case
            when jsonb_typeof(whole) = 'object' then whole - array[{documents}]::text[]
            else whole
        end as content,
        jsonb_build_object({document_pairs}) as documents,
        detail,
        has_nul
    from parsed
)
select
    line_number,
    content,
    documents,
    case
        when content is null and has_nul then 'holds_nul'
        when content is null then 'not_json'
        when jsonb_typeof(content) <> 'object' then 'not_an_object'
        {" ".join(cases)}
    end as reason,
    detail
from divided
"""  # noqa: S608 - names of our own tables


def check_identity(table: Table) -> str | None:
    """Return the statement that rejects a second identity which belongs to another row."""
    if table.identity is None:
        return None
    key = table.key[0]
    column = next(column for column in table.columns if column.name == table.identity)
    key_column = next(column for column in table.columns if column.name == key)
    value, key_value = f"{_text(column)}::{column.kind.value}", _text(key_column)
    return f"""
with named as materialized (
    select line_number, {key_value} as key_value, {value} as identity_value
    from stage_checked
    where
        reason is null
        and {_text(column)} is not null
        and line_number between %(first)s and %(last)s
),
owners as materialized (
    select distinct on (identity_value) identity_value, key_value
    from (
        select
            target.{table.identity} as identity_value,
            target.{key} as key_value,
            0 as line_number
        from {table.qualified_name} as target
        inner join named on target.{table.identity} = named.identity_value
        union all
        select identity_value, key_value, line_number from named
    ) as claims
    order by identity_value, line_number
)
update stage_checked as checked
set reason = 'duplicate_{table.identity}', detail = 'belongs to {key} ' || owners.key_value
from named
inner join owners on named.identity_value = owners.identity_value
where checked.line_number = named.line_number and owners.key_value <> named.key_value
"""  # noqa: S608 - names of our own tables


def _value(column: Column, by_name: dict[str, Column]) -> str:
    if column.kind is Kind.JSON:
        return f"nullif({_json(column)}, 'null')"
    value = _text(column)
    if column.fallback is not None:
        value = f"coalesce({value}, {_text(by_name[column.fallback])})"
    return value if column.kind in (Kind.ID, Kind.TEXT) else f"{value}::{column.kind.value}"


def store(table: Table) -> str:
    """Return the upsert of the good lines from %(first)s to %(last)s.

    The latest delivery of a key wins: by updated_at where the table has it, then by line. An
    older one never replaces what is stored, so that loading a file twice changes nothing.

    It returns how many rows were new, changed, the same, and given way to a later line.
    """
    by_name = {column.name: column for column in table.columns}
    names = [column.name for column in table.columns]
    keys = ", ".join(table.key)
    values = ",\n        ".join(
        f"{_value(column, by_name)} as {column.name}" for column in table.columns
    )
    inserted = ", ".join(
        f"coalesce(winner.{column.name}, {_default(column)})"
        if column.has_default
        # An insert takes a column's default only where the column is not named.
        else f"winner.{column.name}"
        for column in table.columns
    )
    # An id that is required is not null, and equality is what hashes and indexes serve.
    same_key = " and ".join(
        f"existing.{key} = winner.{key}"
        if by_name[key].is_required
        else f"existing.{key} is not distinct from winner.{key}"
        for key in table.key
    )
    kept = [column for column in table.columns if column.name not in table.key]
    changed = [column for column in kept if column.name != table.identity]
    new_values = ", ".join(f"{column.name} = excluded.{column.name}" for column in changed)
    is_versioned = "updated_at" in by_name
    by_version = "updated_at desc nulls last, " if is_versioned else ""
    is_later = (
        "\n        and (target.updated_at <= excluded.updated_at) is not false"
        if is_versioned
        else ""
    )
    old = ", ".join(f"target.{column.name}" for column in changed)
    new = ", ".join(f"excluded.{column.name}" for column in changed)
    keeps_old = {column.name for column in changed if column.has_default}
    existing = ", ".join(
        f"coalesce(winner.{name}, existing.{name}) as {name}"
        if name in keeps_old
        else f"winner.{name}"
        for name in names
    )
    join = f"left join {table.qualified_name} as existing on {same_key}" if keeps_old else ""
    return f"""
with good as materialized (
    select
        line_number,
        {values}
    from stage_checked
    where reason is null and line_number between %(first)s and %(last)s
),
latest as materialized (
    select distinct on ({keys}) *
    from good
    order by {keys}, {by_version}line_number desc
),
winner as materialized (
    select {existing}
    from latest as winner
    {join}
),
stored as (
    insert into {table.qualified_name} as target ({", ".join(names)})
    select {inserted}
    from winner
    on conflict ({keys}) do update
    set {new_values}
    where
        ({old}) is distinct from ({new}){is_later}
    returning (target.xmax = 0) as is_new
)
select
    (select count(*) filter (where is_new) from stored) as inserted,
    (select count(*) filter (where not is_new) from stored) as updated,
    (select count(*) from latest) - (select count(*) from stored) as unchanged,
    (select count(*) from good) - (select count(*) from latest) as superseded
"""  # noqa: S608 - names of our own tables


def _default(column: Column) -> str:
    return {Kind.UUID: "gen_random_uuid()", Kind.TIMESTAMP: "now()"}.get(column.kind, "0")
