"""Tests of the warehouse package, on a real PostgreSQL."""
