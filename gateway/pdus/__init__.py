"""PDUs: bytes and values. Pure."""
