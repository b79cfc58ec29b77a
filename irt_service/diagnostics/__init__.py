"""Whether a calibration can be trusted: pure computation, arrays in and frozen records out.

item_fit           infit and outfit, S-X2 on complete forms, PV-Q1 where forms are incomplete
person_fit         lz*
local_dependence   Q3
information        item and test information, conditional standard errors, reliability
dif                differential item functioning between groups of students
drift              parameters against those of another run
false_discovery    Benjamini-Hochberg

A number that cannot be computed is NaN and comes with its reason; reasons are '' elsewhere.
Person weights count as frequencies: a student of weight 3 stands for three with these answers.
"""
