{# Probability of a correct response in the three-parameter logistic model, D = 1. The
   exponent is bounded, because PostgreSQL raises an error where exp() under- or
   overflows; 700 changes no probability above 1e-304. #}
{% macro response_probability(theta, discrimination, difficulty, guessing) -%}
    ({{ guessing }} + (1 - {{ guessing }}) / (
        1 + exp({{ clamp(
            '-(' ~ discrimination ~ ') * ((' ~ theta ~ ') - (' ~ difficulty ~ '))',
            -700, 700
        ) }})
    ))
{%- endmacro %}
