"""Texts and user data: what an SMS or a screen carries. Pure."""
