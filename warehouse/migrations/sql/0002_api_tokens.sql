create table irt.api_tokens (
    token_id text collate "C" primary key,
    token_hash bytea not null check (length(token_hash) = 32),
    label text not null,
    org_id text collate "C",
    scopes text[] not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    check (scopes <@ array['score', 'read', 'calibrate', 'publish'] and scopes <> '{}'),
    check (org_id is null or not 'publish' = any(scopes))
);
comment on table irt.api_tokens is
    'Bearer tokens of the HTTP service. One row per token; several of one client may be valid at once, so that they can be rotated';
comment on column irt.api_tokens.token_id is
    'The part of the token that may be shown and logged';
comment on column irt.api_tokens.token_hash is
    'SHA-256 of the whole token, which is random and kept nowhere';
comment on column irt.api_tokens.org_id is
    'The organisation whose students it may see; null for all';
comment on column irt.api_tokens.scopes is
    'What it may do: score, read (abilities, reports, runs), calibrate, publish (all organisations only)';
