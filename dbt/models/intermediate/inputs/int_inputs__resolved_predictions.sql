{#- The columns keep the names of every input; here the prediction stands where other
    inputs have the student, because what changes is rebuilt per prediction. -#}
with cohorts as (
    select
        int_predictions__resolved.prediction,
        int_predictions__resolved.resolved_on,
        count(*) as prediction_count,
        {{ combine_hashes(row_hash([
            'int_predictions__resolved.student_id',
            'int_predictions__resolved.probability',
            'int_predictions__resolved.has_come_true',
        ])) }} as content_hash
    from {{ ref('int_predictions__resolved') }}
    group by int_predictions__resolved.prediction, int_predictions__resolved.resolved_on
),

inputs as (
    select
        cohorts.resolved_on || ' ' || cohorts.prediction as input_key,
        cohorts.prediction_count || ' ' || cohorts.content_hash as version,
        cohorts.prediction as student_id,
        cohorts.resolved_on as from_date
    from cohorts
)

select * from inputs
