"""Where are the fixed points? Searches, and how far they are known to be complete."""
