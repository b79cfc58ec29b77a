{# Union of relations of changes (student_id, changed_on, …), each of which names the
   columns it has; the others are 0 (counts, measures) or null (carried). #}
{% macro stack_changes(relations, counts, measures, carried) -%}
    {% for relation, columns in relations.items() -%}
        select
            {{ relation }}.student_id,
            {{ relation }}.changed_on
            {%- for column in carried %},
                {% if column in columns %}{{ relation }}.{{ column }}
                {%- else %}cast(null as date){% endif %} as {{ column }}
            {%- endfor %}
            {%- for column in counts %},
                {% if column in columns %}{{ relation }}.{{ column }}
                {%- else %}0{% endif %} as {{ column }}
            {%- endfor %}
            {%- for column in measures %},
                {%- set change = relation ~ '.' ~ column if column in columns else '0' %}
                cast({{ change }} as double precision) as {{ column }}
            {%- endfor %}
        from {{ relation }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
{%- endmacro %}


{# Sums of changes under their own names, counts as integers; with a window clause
   running sums. #}
{% macro sum_changes(relation, counts, measures, window='') -%}
    {% for count in counts -%}
        cast(sum({{ relation }}.{{ count }}) {{ window }} as integer) as {{ count }},
    {% endfor -%}
    {% for measure in measures -%}
        sum({{ relation }}.{{ measure }}) {{ window }} as {{ measure }}
        {{- ',' if not loop.last }}
    {% endfor %}
{%- endmacro %}
