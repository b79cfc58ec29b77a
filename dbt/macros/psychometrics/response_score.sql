{# Derivative of a response's log-likelihood at theta. Only 2PL makes it a (x - P); with
   guessing a right answer says less the likelier it was guessed. #}
{% macro response_score(is_correct, theta, discrimination, difficulty, guessing) -%}
    {%- set probability = response_probability(
        theta, discrimination, difficulty, guessing
    ) -%}
    ({{ discrimination }}) * (cast({{ is_correct }} as integer) - {{ probability }})
    * ({{ probability }} - ({{ guessing }}))
    / ({{ probability }} * (1 - ({{ guessing }})))
{%- endmacro %}
