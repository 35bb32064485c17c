"""Alembic's entry: run the migrations on the database whose URL the caller gives."""

from alembic import context
from sqlalchemy import create_engine, pool

from vas.store.schema import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite"
    )
    with context.begin_transaction():
        context.run_migrations()
