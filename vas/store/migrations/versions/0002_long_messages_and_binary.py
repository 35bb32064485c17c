"""Long messages that come in parts; flash, binary and pushed messages that go out"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _of_a_long_message() -> list[sa.Column[object]]:
    return [
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("msisdn", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("total", sa.SmallInteger(), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "long_message",
        *_of_a_long_message(),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "msisdn", "account", "receiver", "reference", "total"),
        sqlite_with_rowid=False,
    )
    op.create_index("long_message_due", "long_message", ["due_ms"])
    op.create_table(
        "part",
        *_of_a_long_message(),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("coding", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "msisdn", "account", "receiver", "reference", "total", "number"),
        sqlite_with_rowid=False,
    )
    op.add_column("inbox", sa.Column("parts", sa.SmallInteger(), server_default=sa.text("1"), nullable=False))
    op.add_column("outbox", sa.Column("flash", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("outbox", sa.Column("data", sa.LargeBinary(), nullable=True))
    op.add_column("outbox", sa.Column("port", sa.Integer(), server_default=sa.text("0"), nullable=False))
