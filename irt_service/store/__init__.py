"""The SQL of the IRT service: everything it reads from and writes to PostgreSQL."""
