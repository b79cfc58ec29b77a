alter table irt.mirt_item_params
    add column cov_discrimination_difficulty double precision;
comment on column irt.mirt_item_params.cov_discrimination_difficulty is
    'Covariance of the estimates of discrimination and difficulty; null as the standard errors are';

create table irt.item_fit (
    run_id text collate "C" not null references irt.mirt_fit_meta,
    item_id text collate "C" not null,
    n_responses integer not null,
    infit double precision,
    infit_z double precision,
    outfit double precision,
    outfit_z double precision,
    s_x2 double precision,
    s_x2_df integer,
    s_x2_p double precision,
    s_x2_reason text,
    pv_q1 double precision,
    pv_q1_df integer,
    pv_q1_p double precision,
    pv_q1_reason text,
    method text check (method in ('s_x2', 'pv_q1')),
    rmsea double precision,
    q double precision,
    is_misfit boolean not null,
    primary key (run_id, item_id)
);
comment on table irt.item_fit is
    'How well the model describes the responses to an item. One row per run and item';
comment on column irt.item_fit.infit is
    'Information-weighted mean square of the residuals; 1 is expected';
comment on column irt.item_fit.outfit is
    'Unweighted mean square of the standardised residuals; 1 is expected';
comment on column irt.item_fit.s_x2_reason is
    'Why S-X2 is not computable, such as incomplete_forms; null when it is';
comment on column irt.item_fit.method is
    'The test that q and rmsea rest on: S-X2, else PV-Q1; null when neither is computable';
comment on column irt.item_fit.rmsea is
    'Size of the misfit whatever the number of responses: sqrt(max(0, (statistic - df) / (df (n - 1))))';
comment on column irt.item_fit.q is
    'p of that test after false-discovery control over the run''s items';

create table irt.item_dif (
    run_id text collate "C" not null references irt.mirt_fit_meta,
    grouping text collate "C" not null,
    focal_group text collate "C" not null,
    item_id text collate "C" not null,
    reference_group text collate "C" not null,
    method text not null,
    n_reference integer not null,
    n_focal integer not null,
    statistic double precision,
    df integer,
    p double precision,
    q double precision,
    delta_discrimination double precision,
    delta_difficulty double precision,
    se_delta_discrimination double precision,
    se_delta_difficulty double precision,
    kind text check (kind in ('uniform', 'non-uniform')),
    severity text check (severity in ('none', 'minor', 'moderate', 'severe')),
    reason text,
    primary key (run_id, grouping, focal_group, item_id)
);
comment on table irt.item_dif is
    'Whether an item works differently in two groups of students of equal ability. One row per run, grouping, focal group and item';
comment on column irt.item_dif.grouping is
    'Key of the group labels of students, such as gender';
comment on column irt.item_dif.reference_group is
    'The largest group of the grouping, which the focal group is compared with';
comment on column irt.item_dif.delta_difficulty is
    'Difficulty in the focal group minus that in the reference group, logits on the run''s scale';
comment on column irt.item_dif.kind is
    'non-uniform where discrimination differs too; null unless significant';
comment on column irt.item_dif.severity is
    'Null without a test';
comment on column irt.item_dif.reason is
    'Why the item could not be tested; null when it was';

create table irt.item_drift (
    run_id text collate "C" not null references irt.mirt_fit_meta,
    comparison text not null check (comparison in ('previous', 'baseline')),
    item_id text collate "C" not null,
    compared_run_id text collate "C" not null references irt.mirt_fit_meta,
    n_common integer not null,
    delta_discrimination double precision,
    delta_difficulty double precision,
    se_delta_discrimination double precision,
    se_delta_difficulty double precision,
    statistic double precision,
    df integer,
    p double precision,
    q double precision,
    severity text check (severity in ('none', 'minor', 'moderate', 'severe')),
    reason text,
    primary key (run_id, comparison, item_id)
);
comment on table irt.item_drift is
    'How the parameters of an item moved since another run, on that run''s scale. One row per run, comparison and item';
comment on column irt.item_drift.comparison is
    'previous: the accepted run of the bank before this one; baseline: the run pinned for the bank';
comment on column irt.item_drift.n_common is
    'Responses to the item that both runs rest on, from the overlap of their look-backs';
comment on column irt.item_drift.delta_difficulty is
    'This run minus the compared one, logits on the linked scale, beyond what all items moved';
comment on column irt.item_drift.severity is
    'Null without a test';
comment on column irt.item_drift.reason is
    'Why the item could not be tested; null when it was';

create table irt.local_dependence (
    run_id text collate "C" not null references irt.mirt_fit_meta,
    item_1 text collate "C" not null,
    item_2 text collate "C" not null,
    q3 double precision not null,
    n_pairs integer not null,
    primary key (run_id, item_1, item_2),
    check (item_1 < item_2)
);
comment on table irt.local_dependence is
    'Pairs of items whose residuals correlate beyond the threshold in the run''s metrics. One row per run and pair; pairs below it are not kept';
comment on column irt.local_dependence.q3 is
    'Correlation of the residuals of students who answered both';

create table irt.person_fit (
    run_id text collate "C" not null references irt.mirt_fit_meta,
    user_id text collate "C" not null,
    lz_star double precision not null,
    n_responses integer not null,
    primary key (run_id, user_id)
);
create index person_fit_user_id on irt.person_fit (user_id);
comment on table irt.person_fit is
    'Students whose pattern of answers the model finds improbable, for the psychometrician only: nothing about a student follows from it. One row per run and student below the threshold in the run''s metrics; the others are only counted there';

create table irt.baselines (
    baseline_id bigint generated always as identity primary key,
    run_id text collate "C" not null references irt.mirt_fit_meta,
    bank text not null,
    pinned_at timestamptz not null default clock_timestamp()
);
comment on table irt.baselines is
    'Runs that drift is measured against, append-only. The latest entry of a bank counts. One row per pin';

create view irt.pinned_baseline as
select distinct on (baseline.bank)
    baseline.bank,
    baseline.run_id,
    baseline.pinned_at
from irt.baselines as baseline
order by baseline.bank asc, baseline.baseline_id desc;
comment on view irt.pinned_baseline is
    'The run that drift is measured against now. One row per bank with a baseline';
