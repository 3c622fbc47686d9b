"""One command a module: its arguments, what it runs, and what it prints."""
