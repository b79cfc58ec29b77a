{# Which ability estimates count. `abilities` is an alias of a relation with the columns
   of stg_irt__abilities or stg_irt__topic_abilities. #}


{% macro next_effective_date(abilities, keys, id_column) -%}
    {%- set partition = [] -%}
    {%- for key in keys -%}
        {%- do partition.append(abilities ~ '.' ~ key) -%}
    {%- endfor -%}
    lead({{ abilities }}.effective_date) over (
            partition by {{ partition | join(', ') }}
            -- Of two estimates of one instant the one that was made later counts.
            order by {{ abilities }}.effective_at, {{ abilities }}.{{ id_column }}
        )
{%- endmacro %}


{% macro estimate_counts_until(effective_date, next_date) -%}
    least(
        {{ next_date }},
        {{ add_days(effective_date, var('ability_lookback_days')) }}
    )
{%- endmacro %}
