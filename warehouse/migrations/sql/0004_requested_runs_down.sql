drop table irt.requested_runs;
