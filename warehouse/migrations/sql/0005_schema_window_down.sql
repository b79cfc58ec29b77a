drop table ops.schema_window;
