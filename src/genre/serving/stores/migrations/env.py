"""What Alembic runs around the migrations: on a connection that it is given, in the transaction open there."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    # SQLite can take a change of tables back; Alembic thinks it cannot, since Python's driver long did not let it.
    transactional_ddl=True,
)
context.run_migrations()
