alter table ops.erased_students
add column reason text,
add column completed_at timestamptz;
comment on column ops.erased_students.student_id is
    'As delivered, in clear: staging matches it against every row of the sources while the application still holds them';
comment on column ops.erased_students.erased_at is
    'Since when the student is left out';
comment on column ops.erased_students.reason is
    'As given with the command; must not describe the student';
comment on column ops.erased_students.completed_at is
    'When everything that was kept had been removed; null while an erasure is unfinished';
