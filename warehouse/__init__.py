"""The warehouse: local PostgreSQL, migrations, loader, run ledger and sample academy."""
