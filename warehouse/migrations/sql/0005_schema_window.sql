create table ops.schema_window (
    is_only boolean primary key default true check (is_only),
    oldest_code text not null
);
comment on table ops.schema_window is
    'How old code may be that works with these schemas. One row';
comment on column ops.schema_window.oldest_code is
    'The last migration that took something away: code that does not know it must not start';
