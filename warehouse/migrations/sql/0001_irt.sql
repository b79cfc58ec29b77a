create schema irt;
comment on schema irt is
    'Item parameters, abilities and publications; written by the IRT service only';

create table irt.mirt_fit_meta (
    run_id text collate "C" primary key,
    bank text not null default 'all',
    model text not null,
    engine text not null,
    engine_version text,
    status text not null
        check (status in ('running', 'accepted', 'rejected', 'failed')),
    reasons jsonb not null default '[]',
    model_spec jsonb not null default '{}',
    metrics jsonb not null default '{}',
    settings jsonb not null default '{}',
    versions jsonb not null default '{}',
    input_fingerprint text,
    window_start timestamptz,
    window_end timestamptz,
    n_persons integer,
    n_items integer,
    n_responses bigint,
    log_likelihood double precision,
    is_converged boolean,
    iterations integer,
    prior_mean double precision,
    prior_sd double precision,
    linking jsonb,
    started_at timestamptz not null default clock_timestamp(),
    fitted_at timestamptz,
    duration_seconds double precision
);
create index mirt_fit_meta_fitted_at on irt.mirt_fit_meta (fitted_at desc);
comment on table irt.mirt_fit_meta is
    'Calibration runs, accepted or not. One row per run';
comment on column irt.mirt_fit_meta.bank is
    'Which items were calibrated; all is the default bank that KPIs and scoring read';
comment on column irt.mirt_fit_meta.reasons is
    'Why a run was rejected or failed: a list of texts, empty when accepted';
comment on column irt.mirt_fit_meta.input_fingerprint is
    'Hash of the responses that went in: equal fingerprints saw equal data';
comment on column irt.mirt_fit_meta.prior_mean is
    'Mean of the normal prior under which abilities of this run are estimated';
comment on column irt.mirt_fit_meta.prior_sd is
    'Standard deviation of that prior';
comment on column irt.mirt_fit_meta.linking is
    'Constants A and B that moved the run to the standing scale, method and anchors; null when no linking was needed';

create table irt.mirt_item_params (
    run_id text collate "C" not null references irt.mirt_fit_meta,
    item_id text collate "C" not null,
    model text not null,
    params jsonb not null,
    standard_errors jsonb not null default '{}',
    discrimination double precision not null,
    difficulty double precision not null,
    guessing double precision not null default 0,
    se_discrimination double precision,
    se_difficulty double precision,
    se_guessing double precision,
    n_responses integer,
    flags jsonb not null default '[]',
    version text,
    fitted_at timestamptz not null default clock_timestamp(),
    primary key (run_id, item_id)
);
comment on table irt.mirt_item_params is
    'Item parameters in the logistic metric, D = 1. One row per run and item';
comment on column irt.mirt_item_params.params is
    'The same parameters as {"a", "b", "c"}, for readers of the wire format';
comment on column irt.mirt_item_params.se_discrimination is
    'Standard error; null when the parameter was fixed or not estimated';

create table irt.excluded_items (
    run_id text collate "C" not null references irt.mirt_fit_meta,
    item_id text collate "C" not null,
    reason text not null,
    n_responses integer,
    primary key (run_id, item_id)
);
comment on table irt.excluded_items is
    'Items a run set aside before estimating, and why. One row per run and item';

create table irt.mirt_ability (
    id bigint generated always as identity primary key,
    user_id text collate "C" not null,
    theta double precision not null,
    se double precision not null,
    model text not null,
    version text,
    run_id text collate "C" not null references irt.mirt_fit_meta,
    session_id text collate "C" not null,
    effective_at timestamptz not null,
    n_responses integer not null,
    fitted_at timestamptz not null default clock_timestamp()
);
create index mirt_ability_scoring
    on irt.mirt_ability (user_id, session_id, run_id, fitted_at desc, id desc);
create index mirt_ability_history on irt.mirt_ability (user_id, run_id, effective_at);
create index mirt_ability_fitted_at on irt.mirt_ability (fitted_at desc);
comment on table irt.mirt_ability is
    'Overall abilities, append-only. One row per scoring; the latest of a student, session and run counts (effective_ability)';
comment on column irt.mirt_ability.se is
    'Posterior standard deviation of theta';
comment on column irt.mirt_ability.session_id is
    'The session after which this is the ability';
comment on column irt.mirt_ability.effective_at is
    'Last attempt of that session: since when the estimate holds';
comment on column irt.mirt_ability.n_responses is
    'First graded attempts in the look-back that the estimate rests on';

create table irt.mirt_ability_retraction (
    id bigint primary key default nextval('irt.mirt_ability_id_seq'),
    user_id text collate "C" not null,
    run_id text collate "C" not null references irt.mirt_fit_meta,
    session_id text collate "C" not null,
    reason text not null,
    fitted_at timestamptz not null default clock_timestamp()
);
create index mirt_ability_retraction_scoring
    on irt.mirt_ability_retraction (user_id, session_id, run_id, fitted_at desc, id desc);
comment on table irt.mirt_ability_retraction is
    'Scorings taken back: the session is no longer ready, the student''s, or holds nothing to score. One row per retraction; ids share the sequence of mirt_ability, so that one order holds for both';

create table irt.mirt_topic_ability (
    id bigint generated always as identity primary key,
    ability_id bigint not null,
    user_id text collate "C" not null,
    topic_id text collate "C" not null,
    theta double precision not null,
    se double precision not null,
    run_id text collate "C" not null,
    session_id text collate "C" not null,
    effective_at timestamptz not null,
    n_responses integer not null,
    fitted_at timestamptz not null default clock_timestamp()
);
create unique index mirt_topic_ability_grain on irt.mirt_topic_ability (ability_id, topic_id);
create index mirt_topic_ability_history
    on irt.mirt_topic_ability (user_id, topic_id, run_id, effective_at);
-- Without foreign keys: these rows are written with their ability in one transaction, by the
-- million, and checking two keys for each would take longer than writing them.
comment on table irt.mirt_topic_ability is
    'Abilities per topic, append-only. One row per scoring and topic with enough responses';

create table irt.publications (
    publication_id bigint generated always as identity primary key,
    run_id text collate "C" not null references irt.mirt_fit_meta,
    in_force_from date not null,
    published_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz
);
comment on table irt.publications is
    'Which run counts from which local day, append-only. In force on a day: the latest entry, by publication_id, that is not revoked and has begun';
comment on column irt.publications.in_force_from is
    'First local day; 0001-01-01 is the beginning of time';

create table irt.publishing (
    publishing_id bigint generated always as identity primary key,
    run_id text collate "C" not null references irt.mirt_fit_meta,
    in_force_from date not null,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz
);
comment on table irt.publishing is
    'Runs about to come into force: while an entry has not ended, sessions are scored under its run too. One row per publication or roll-back that was begun';

create table irt.deliveries (
    session_id text collate "C" primary key,
    result_version text not null,
    result_updated_at timestamptz,
    session_revision bigint,
    user_id text collate "C",
    status text not null check (status in ('scored', 'nothing_to_score', 'parked')),
    reason text,
    tries integer not null default 1,
    processed_at timestamptz not null default clock_timestamp()
);
create index deliveries_status on irt.deliveries (status, processed_at);
create index deliveries_user_id on irt.deliveries (user_id);
comment on table irt.deliveries is
    'Which version of each result the online update has dealt with. One row per session';
comment on column irt.deliveries.result_version is
    'Row version of the result as read; another one means it was delivered again';
comment on column irt.deliveries.session_revision is
    'Revision of fct_sessions that a batch scoring has dealt with; null when only the online update has';
comment on column irt.deliveries.reason is
    'Why a delivery was parked or had nothing to score';

create view irt.effective_ability as
select ability.*
from irt.mirt_ability as ability
where
    not exists (
        select 1
        from irt.mirt_ability as newer
        where
            newer.user_id = ability.user_id
            and newer.session_id = ability.session_id
            and newer.run_id = ability.run_id
            and (newer.fitted_at, newer.id) > (ability.fitted_at, ability.id)
    )
    and not exists (
        select 1
        from irt.mirt_ability_retraction as retraction
        where
            retraction.user_id = ability.user_id
            and retraction.session_id = ability.session_id
            and retraction.run_id = ability.run_id
            and (retraction.fitted_at, retraction.id) > (ability.fitted_at, ability.id)
    );
comment on view irt.effective_ability is
    'The scoring that counts. At most one row per student, session and run';

create view irt.effective_topic_ability as
select topic_ability.*
from irt.mirt_topic_ability as topic_ability
inner join irt.effective_ability as ability on topic_ability.ability_id = ability.id;
comment on view irt.effective_topic_ability is
    'Topic abilities of the scorings that count. At most one row per student, session, run and topic';

create view irt.in_force_run as
select
    publication.run_id,
    publication.publication_id
from irt.publications as publication
where publication.revoked_at is null
order by publication.publication_id desc
limit 1;
comment on view irt.in_force_run is
    'The run published last and not revoked. One row, none before the first publication';

create view irt.current_item_params as
select params.*
from irt.mirt_item_params as params
inner join irt.in_force_run as in_force on params.run_id = in_force.run_id;
comment on view irt.current_item_params is
    'Item parameters of the run in force. One row per item';

create view irt.current_ability as
select distinct on (ability.user_id) ability.*
from irt.effective_ability as ability
inner join irt.in_force_run as in_force on ability.run_id = in_force.run_id
order by
    ability.user_id asc,
    ability.effective_at desc,
    ability.fitted_at desc,
    ability.id desc;
comment on view irt.current_ability is
    'The latest ability under the run in force. One row per student';
