"""Nodes that share one database: who lives, who has which bind, and what one tells another."""
