drop table ops.dbt_results;
