"""How SMSCs differ, as data. Pure."""
