{# Every known value lies between the bounds, both inclusive. Either bound may be left out. #}
{% test between(model, column_name, lowest=none, highest=none) %}
select {{ column_name }}
from {{ model }}
where
    cast({{ column_name }} as double precision) = 'NaN'
    {%- if lowest is not none %}
    or {{ column_name }} < {{ lowest }}
    {%- endif %}
    {%- if highest is not none %}
    or {{ column_name }} > {{ highest }}
    {%- endif %}
{% endtest %}
