drop table ops.erased_students;
drop table ops.model_builds;
drop table ops.pipeline_runs;
drop table reports.report_artifacts;
drop schema reports;

-- Marts are dbt's; a schema that still holds some stays.
do $$
declare
    name text;
begin
    foreach name in array array['analytics', 'analytics_state'] loop
        if not exists (
            select 1 from pg_catalog.pg_class
            where relnamespace = name::regnamespace
        ) and not exists (
            select 1 from pg_catalog.pg_proc
            where pronamespace = name::regnamespace
        ) then
            execute format('drop schema %I', name);
        end if;
    end loop;
end
$$;
