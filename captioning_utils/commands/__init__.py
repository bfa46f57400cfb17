"""The commands: what a shell user types, turned into calls of the package."""
