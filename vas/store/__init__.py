"""The store: tables, migrations, and the engines behind one small protocol (`vas.store.protocol`)."""
