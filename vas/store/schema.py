"""The tables, for both engines.

On SQLite the two logs, inbox and outbox, lie in the order of arrival: a batch then writes a few pages of them
instead of one page for each row. What is looked up by subscriber lies by subscriber (WITHOUT ROWID).
On PostgreSQL the logs are partitioned by day, which their ids begin with, and `seen` has one row a key: there two
nodes meet that were brought the same command.

`shard` (1,024 of them, a hash of the MSISDN), then `msisdn`, lead the key of what belongs to a
subscriber. Ids are time + node + counter (`vas.store.ids`), so they sort by time and need no sequence.
Times are integers, milliseconds since 1970 UTC. Nothing refers to another shard by a foreign key.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()


def _owner() -> tuple[Column[int], Column[str], Column[int]]:
    """The key of what belongs to a subscriber; unique on each of its shards."""
    return (
        Column("shard", SmallInteger, primary_key=True),
        Column("msisdn", Text, primary_key=True),
        Column("id", BigInteger, primary_key=True, autoincrement=False),
    )


def _of_a_long_message() -> tuple[Column[int], Column[str], Column[str], Column[str], Column[str], Column[int]]:
    """The key of what belongs to one long message of a subscriber."""
    return (
        Column("shard", SmallInteger, primary_key=True),
        Column("msisdn", Text, primary_key=True),
        Column("account", Text, primary_key=True),
        Column("receiver", Text, primary_key=True),
        Column("reference", Text, primary_key=True),
        Column("total", SmallInteger, primary_key=True, autoincrement=False),
    )


meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    comment="The hash key of `seen`, and each node's last batch",
    sqlite_with_rowid=False,
)

session = Table(
    "session",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False),
    Column("confirmed", BigInteger, nullable=False, comment="answers up to this ordinal have arrived"),
    Column("late", LargeBinary, nullable=False, comment="JSON list of ordinals answered too late to count"),
    Column("node", BigInteger, nullable=False, server_default=text("0"), comment="node.id of whose link it is"),
    Column("ended", Boolean, nullable=False, server_default=text("false"), comment="what is confirmed is final"),
)

node = Table(
    "node",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("number", SmallInteger, nullable=False, comment="in its ids; of no other node that lives"),
    Column("address", Text, nullable=False, comment="of its operations' listener"),
    Column("version", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False, comment="end of its lease, by the database's clock"),
    Column("draining", Boolean, nullable=False, server_default=text("false"), comment="gives its binds up"),
    comment="One run of a node that shares the database; its row goes when it leaves or is given up",
)

bind_lease = Table(
    "bind_lease",
    metadata,
    Column("account", Text, primary_key=True),
    Column("place", SmallInteger, primary_key=True, autoincrement=False, comment="0 to accounts.NAME.binds - 1"),
    Column("node", BigInteger, nullable=False, comment="node.id of who may bind here"),
    Column("since_ms", BigInteger, nullable=False),
    comment="Which node has which connection of an SMSC account",
)


seen = Table(
    "seen",
    metadata,
    Column("session", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False, comment="keyed hash of what is the same in a copy"),
    Column("received_ms", BigInteger, nullable=False),
    Column("msisdn", Text, nullable=False, comment="with inbox_id: the answer that was given"),
    Column("inbox_id", BigInteger, nullable=False),
    Column("lasting", Boolean, nullable=False, comment="the SMSC gave a message id: a copy is one whenever it comes"),
    Index("seen_lasting", "key", sqlite_where=text("lasting"), postgresql_where=text("lasting")),
    Index("seen_received", "received_ms", sqlite_where=text("lasting"), postgresql_where=text("lasting")),
    Index("seen_key", "key", unique=True).ddl_if(dialect="postgresql"),
    comment="Answers that may not have arrived; the others go soon after they are confirmed",
    sqlite_with_rowid=False,
)

inbox = Table(
    "inbox",
    metadata,
    *_owner(),
    Column("kind", Text, nullable=False, comment="sms, ussd, or push: a talk that we began"),
    Column("account", Text, nullable=False),
    Column("session", BigInteger, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("sent_to", Text, nullable=False, comment="short code, or what was dialled"),
    Column("text", Text, nullable=False, comment="secrets masked"),
    Column("service", Text, nullable=False, comment="empty: nothing matched"),
    Column("handler", Text, nullable=False),
    Column("why", Text, nullable=False, comment="the pattern or the rule that chose it"),
    Column("result", Text, nullable=False, comment="answered, refused, failed, calling, …, incomplete"),
    Column("reply", Text, nullable=False, comment="the text key of the answer, or the screen that was shown"),
    Column("steps", LargeBinary, nullable=False, comment="JSON: what the handler changed and sent"),
    Column("copies", Integer, nullable=False, server_default=text("0"), comment="redeliveries recognised"),
    Column("parts", SmallInteger, nullable=False, server_default=text("1"), comment="that the message came in"),
    Column("node", Text, nullable=False, server_default=text("''"), comment="name of the node that took it"),
    Index("inbox_id", "id"),
    postgresql_partition_by="RANGE (id)",
)

long_message = Table(
    "long_message",
    metadata,
    *_of_a_long_message(),
    Column("due_ms", BigInteger, nullable=False, comment="give up what is incomplete, or forget what has ended"),
    Column("ended_ms", BigInteger, comment="when the last message with this key was complete or given up"),
    Column("ended", LargeBinary, nullable=False, comment="JSON: number and hash of each of its parts"),
    Index("long_message_due", "due_ms"),
    comment="Where the parts of a long message meet, on whichever bind or node they come",
    sqlite_with_rowid=False,
)

part = Table(
    "part",
    metadata,
    *_of_a_long_message(),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("octets", LargeBinary, nullable=False),
    Column("coding", Text, nullable=False),
    comment="Parts that wait for the rest of their message",
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    *_owner(),
    Column("cause", BigInteger, nullable=False, comment="the inbox row or job that it comes from"),
    Column("origin", Text, nullable=False, comment="the MSISDN on whose behalf it is sent"),
    Column("service", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="sms, ussd, push: a screen that we begin, notice: one without answer"),
    Column("source", Text, nullable=False, comment="short code"),
    Column("account", Text, nullable=False, comment="empty: any"),
    Column("text", Text, nullable=False),
    Column("key", Text, nullable=False, comment="text key"),
    Column("params", LargeBinary, nullable=False, comment="JSON: what `settle` is told; empty without one"),
    Column("settle", Text, nullable=False, comment="name of the handler that learns the outcome, or empty"),
    Column("once", Boolean, nullable=False, comment="never sent again when its fate is unknown"),
    Column("reply", Boolean, nullable=False, comment="overtakes what nobody waits for"),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, comment="queued: send at; sent: give up waiting at; NULL: nothing to do"),
    Column("state", Text, nullable=False, comment="queued, sent, delivered, failed, expired, unknown, cancelled"),
    Column("attempts", Integer, nullable=False),
    Column("segments", SmallInteger, nullable=False),
    Column("smsc_ids", Text, nullable=False, comment="space between"),
    Column("sent_ms", BigInteger),
    Column("settled_ms", BigInteger),
    Column("status", BigInteger, nullable=False, comment="last command_status"),
    Column("error", Text, nullable=False, comment="the receipt's error, or why it was not sent"),
    Column("flash", Boolean, nullable=False, server_default=text("false"), comment="SMS of class 0"),
    Column("data", LargeBinary, comment="binary user data in the place of text"),
    Column("port", Integer, nullable=False, server_default=text("0"), comment="application port of the handset"),
    Column("replaced", LargeBinary, comment="JSON: texts that were to take its place at the SMSC, the oldest first"),
    Column("owner", BigInteger, comment="node.id of who alone may send it; nobody's if NULL or if that node is gone"),
    Column("node", Text, nullable=False, server_default=text("''"), comment="name of the node that it left from"),
    Index("outbox_id", "id"),
    Index(
        "outbox_due",
        "due_ms",
        "id",
        sqlite_where=text("due_ms IS NOT NULL"),
        postgresql_where=text("due_ms IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (id)",
)

receipt = Table(
    "receipt",
    metadata,
    Column("account", Text, primary_key=True),
    Column("smsc_id", Text, primary_key=True),
    Column("msisdn", Text, primary_key=True),
    Column("outbox_id", BigInteger, comment="NULL: the receipt came before the submit_sm_resp"),
    Column("state", Text, comment="NULL: the submit_sm_resp came, the receipt has not"),
    Column("error", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("receipt_at", "at_ms"),
    comment="Where a receipt and its submit_sm_resp meet, whichever comes first",
    sqlite_with_rowid=False,
)

state = Table(
    "state",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("msisdn", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False, comment="JSON of the service's state struct"),
    sqlite_with_rowid=False,
)

talk = Table(
    "talk",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("msisdn", Text, primary_key=True),
    Column("id", BigInteger, nullable=False, comment="of the inbox row that began it"),
    Column("account", Text, nullable=False),
    Column("dialogue", Text, nullable=False),
    Column("dialled", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("journal", LargeBinary, nullable=False, comment="JSON"),
    Column("updated_ms", BigInteger, nullable=False),
    Index("talk_updated", "updated_ms"),
    comment="One open USSD conversation a handset",
    sqlite_with_rowid=False,
)

job = Table(
    "job",
    metadata,
    *_owner(),
    Column("due_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False, comment="job, push, or call: a handler that waits for the outside world"),
    Column("service", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False, comment="by which it can be cancelled; empty: cannot"),
    Column("cause", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="JSON: arguments, or the command and its journal"),
    Column("attempts", Integer, nullable=False),
    Column("owner", BigInteger, comment="of a call: node.id of who asks; nobody's if NULL or if that node is gone"),
    Index("job_due", "due_ms"),
    Index("job_call", "owner", sqlite_where=text("kind = 'call'"), postgresql_where=text("kind = 'call'")),
    sqlite_with_rowid=False,
)

fired = Table(
    "fired",
    metadata,
    Column("job", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False, comment="the last firing that was turned into a job row"),
    comment="Recurring jobs",
    sqlite_with_rowid=False,
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False, comment="command, job, outcome, call, push, message"),
    Column("cause", BigInteger, nullable=False, comment="the message or job that failed"),
    Column("msisdn", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("handler", Text, nullable=False),
    Column("error", Text, nullable=False, comment="type and message, on one line"),
    Column("trace", Text, nullable=False, comment="where in the code; no values"),
    Column("body", LargeBinary, nullable=False, comment="JSON: what a replay needs; empty if it had a secret"),
    Column("at_ms", BigInteger, nullable=False),
    Column("replayed_ms", BigInteger),
    Column("replayed_by", Text, nullable=False, server_default=text("''")),
    Index(
        "dead_letter_open", "id", sqlite_where=text("replayed_ms IS NULL"), postgresql_where=text("replayed_ms IS NULL")
    ),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False, comment="the key's name"),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="an MSISDN, a message id, a key's name"),
    Column("reason", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False, comment="JSON"),
    Index("audit_subject", "subject", "id"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False, comment="viewer, support, operator, finance, admin"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the key, which is 256 random bits"),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)
