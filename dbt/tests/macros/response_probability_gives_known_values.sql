-- Proves the three-parameter logistic at its midpoint, asymptotes and far outside.
-- It matters whenever response_probability() or clamp() changes.
-- To resolve: correct the macro; 0.645656306226 = 1 / (1 + exp(-1.5 * 0.4)).
with known_values as (
    select
        'half-way at the difficulty' as behaviour,
        0.5 as expected,
        {{ response_probability('0.7::float8', '1.3', '0.7', '0::float8') }} as actual
    union all
    select
        'steeper with discrimination',
        0.645656306226,
        {{ response_probability('0.9::float8', '1.5', '0.5', '0::float8') }}
    union all
    select
        'half-way between guessing and one at the difficulty',
        0.6,
        {{ response_probability('0::float8', '1', '0', '0.2::float8') }}
    union all
    select
        'never below guessing',
        0.25,
        {{ response_probability('-6::float8', '900', '6', '0.25::float8') }}
    union all
    select
        'one far above, without an overflow',
        1,
        {{ response_probability('6::float8', '900', '-6', '0::float8') }}
    union all
    select
        'unknown without an ability',
        null,
        {{ response_probability('null::float8', '1', '0', '0::float8') }}
)

select known_values.*
from known_values
where
    (known_values.expected is null) <> (known_values.actual is null)
    or abs(known_values.expected - known_values.actual) > 1e-11
