"""The texts that operations put in the place of a message's own"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("replaced", sa.LargeBinary(), nullable=True))
