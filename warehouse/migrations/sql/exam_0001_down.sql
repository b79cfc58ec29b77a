drop table exam.student_profile;
drop table exam.classroom_student;
drop table exam.classroom;
drop table exam.interest_goal;
drop table exam.question;
drop table exam.session;
drop table exam.exam_results;
drop schema exam;
