{# The columns together identify a row: the grain that the description promises. Rows
   with a null in the key are as wrong as duplicates and fail, too. Weekly: in a table, a
   unique index refuses duplicates when they are written, and views rest on such tables. #}
{% test unique_combination(model, columns) %}
{{ config(tags=['weekly']) }}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having
    count(*) > 1
    {%- for column in columns %}
    or {{ column }} is null
    {%- endfor %}
{% endtest %}
