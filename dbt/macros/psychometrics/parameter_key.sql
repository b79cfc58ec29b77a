{# The parameters of an item, by its number, under a publication: one whole number of both. #}
{% macro parameter_key(publication_id, item_number) -%}
    {{ publication_id }} * 1000000000 + {{ item_number }}
{%- endmacro %}
