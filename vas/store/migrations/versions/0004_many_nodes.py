"""Nodes that share a database: who lives, who has which bind, and whose a message, a call or a session is"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("draining", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "bind_lease",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("place", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("node", sa.BigInteger(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "place"),
    )
    op.add_column("session", sa.Column("node", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("session", sa.Column("ended", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("inbox", sa.Column("node", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("outbox", sa.Column("owner", sa.BigInteger(), nullable=True))
    op.add_column("outbox", sa.Column("node", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("job", sa.Column("owner", sa.BigInteger(), nullable=True))
    calls = sa.text("kind = 'call'")
    op.create_index("job_call", "job", ["owner"], sqlite_where=calls, postgresql_where=calls)
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("seen_key", "seen", ["key"], unique=True)
        for log in ("inbox", "outbox"):
            op.execute(f"CREATE TABLE {log}_rest PARTITION OF {log} DEFAULT")
        # Room for a document's next version beside the old one: then no index has to point at it.
        op.execute("ALTER TABLE state SET (fillfactor = 90)")
