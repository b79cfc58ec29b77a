{# The improvement index (KPI I_t) on both of its bases. Arguments are SQL expressions;
   an unknown argument gives an unknown index, never a clamped one. #}


{% macro improvement_index_theta(theta_recent, theta_previous, se_recent, n) -%}
    {{ clamp(
        '((' ~ theta_recent ~ ') - (' ~ theta_previous ~ ')) * '
        ~ improvement_evidence_weight(n) ~ ' * '
        ~ improvement_precision_weight('1.96 * (' ~ se_recent ~ ')'),
        -1, 1
    ) }}
{%- endmacro %}


{% macro improvement_index_accuracy(p_recent, p_previous, n) -%}
    {%- set half_width -%}
        1.96 * sqrt(
            ({{ p_recent }}) * (1 - ({{ p_recent }}))
            / nullif(cast({{ n }} as double precision), 0)
        )
    {%- endset -%}
    {{ clamp(
        '((' ~ p_recent ~ ') - (' ~ p_previous ~ ')) * '
        ~ improvement_evidence_weight(n) ~ ' * '
        ~ improvement_precision_weight(half_width),
        -1, 1
    ) }}
{%- endmacro %}


{% macro improvement_evidence_weight(n) -%}
    {{ clamp(
        'cast(' ~ n ~ ' as double precision) / '
        ~ var('improvement_full_weight_attempts'), 0, 1
    ) }}
{%- endmacro %}


{% macro improvement_precision_weight(half_width) -%}
    (1 - {{ clamp(half_width, 0, var('improvement_uncertainty_cap')) }})
{%- endmacro %}
