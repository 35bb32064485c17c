"""One connection to an SMSC, from bind to unbind."""
