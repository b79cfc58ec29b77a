"""A seeded simulator of a Korean exam-prep school whose truth is known.

It writes what an exam application would have delivered (the tables of schema `exam`), with the
faults that real deliveries have, and beside it the abilities and item parameters behind every
answer, so that a test can ask whether the pipeline finds them again.
"""
