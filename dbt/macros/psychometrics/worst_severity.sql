{% macro worst_severity(severity) -%}
    case max(
        case {{ severity }}
            when 'severe' then 3
            when 'moderate' then 2
            when 'minor' then 1
            when 'none' then 0
        end
    )
        when 3 then 'severe'
        when 2 then 'moderate'
        when 1 then 'minor'
        when 0 then 'none'
    end
{%- endmacro %}
