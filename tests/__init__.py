"""Tests of the whole repository; a package's own tests sit in a folder of its name."""
