-- Proves that each KPI formula gives its worked value, and unknown for an unknown.
-- It matters whenever a formula, a weight or clamp() changes.
-- To resolve: correct the formula; a changed weight needs new worked values here.
with worked_values (formula, expected, actual) as (
    values
    (
        'improvement on the accuracy basis',
        0.138552,
        {{ improvement_index_accuracy('20 / 30.0::float8', '15 / 30.0::float8', '30') }}
    ),
    (
        'improvement on the theta basis',
        0.225920,
        {{ improvement_index_theta('0.9::float8', '0.5', '0.15', '24') }}
    ),
    (
        'improvement is clamped from below',
        -1,
        {{ improvement_index_theta('-3::float8', '3', '0', '30') }}
    ),
    (
        'improvement discounts at most the cap',
        0.2,
        {{ improvement_index_theta('0.4::float8', '0', '9', '300') }}
    ),
    (
        'improvement without a standard error is unknown',
        null,
        {{ improvement_index_theta('0.4::float8', '0', 'null::float8', '30') }}
    ),
    (
        'improvement without graded attempts is unknown',
        null,
        {{ improvement_index_accuracy('null::float8', '0.5', '0') }}
    ),
    (
        'time efficiency',
        0.25,
        {{ time_efficiency('60000::float8', '45000::float8') }}
    ),
    (
        'slower answers are no negative efficiency',
        0,
        {{ time_efficiency('45000::float8', '60000::float8') }}
    ),
    (
        'time efficiency against a median of zero is unknown',
        null,
        {{ time_efficiency('0::float8', '60000::float8') }}
    ),
    (
        'engagement',
        0.450833,
        {{ engagement('7', '3::float8', '0.3::float8', '450::float8') }}
    ),
    (
        'engagement with sessions at one instant has a full gap term',
        0.0125 + 0.25 + 0.1 + 0.1,
        {{ engagement('1', '0::float8', 'null::float8', 'null::float8') }}
    ),
    (
        'engagement counts half for each unknown term',
        0.0125 + 0.125 + 0.1 + 0.1,
        {{ engagement('1', 'null::float8', 'null::float8', 'null::float8') }}
    ),
    (
        'engagement without a session is zero',
        0,
        {{ engagement('0', 'null::float8', '0.3::float8', 'null::float8') }}
    ),
    (
        'churn risk',
        0.275,
        {{ churn_risk('3', '2::float8', '5') }}
    ),
    (
        'churn risk on the last day of the window',
        0.6 + 0.125 + 0.135,
        {{ churn_risk('55', 'null::float8', '1') }}
    ),
    (
        'churn risk after the window is one',
        1,
        {{ churn_risk('56', 'null::float8', '0') }}
    ),
    (
        'goal probability',
        0.894350,
        {{ goal_probability('0.5::float8', '0.4::float8', '0') }}
    ),
    (
        'goal probability far above what is likely',
        0,
        {{ goal_probability('-6::float8', '0.1::float8', '6') }}
    ),
    (
        'goal probability without an ability is unknown',
        null,
        {{ goal_probability('null::float8', 'null::float8', '0') }}
    )
)

select worked_values.*
from worked_values
where
    (worked_values.expected is null) <> (worked_values.actual is null)
    or abs(worked_values.expected - worked_values.actual) > 5e-7
