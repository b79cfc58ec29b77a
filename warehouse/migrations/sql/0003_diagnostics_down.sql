drop view irt.pinned_baseline;
drop table irt.baselines;
drop table irt.person_fit;
drop table irt.local_dependence;
drop table irt.item_drift;
drop table irt.item_dif;
drop table irt.item_fit;
alter table irt.mirt_item_params drop column cov_discrimination_difficulty;
