alter table ops.erased_students
drop column completed_at,
drop column reason;
comment on column ops.erased_students.student_id is null;
comment on column ops.erased_students.erased_at is null;
