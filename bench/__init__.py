"""How fast the platform is, and whether it keeps its promise when it is killed."""
