"""Alembic's entry: run the migrations on the connection that the caller gives, and tell it of each."""

from alembic import context

from vas.store.schema import metadata

given = context.config.attributes
connection = given["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    on_version_apply=lambda step, **_: given["say"](f"{step.up_revision_id}: {step.up_revision.doc}"),
)
with context.begin_transaction():
    context.run_migrations()
