"""Erasure of students: the suppression list, and the removal of everything that is kept."""
