{% macro row_hash(columns) %}
    {{- return(adapter.dispatch('row_hash')(columns)) -}}
{% endmacro %}

{% macro postgres__row_hash(columns) %}
    {{- return("hash_record_extended(row(" ~ columns | join(', ') ~ "), 0)") -}}
{% endmacro %}

{% macro combine_hashes(hash) %}
    {{- return(adapter.dispatch('combine_hashes')(hash)) -}}
{% endmacro %}

{% macro postgres__combine_hashes(hash) %}
    {{- return("bit_xor(" ~ hash ~ ")") -}}
{% endmacro %}
