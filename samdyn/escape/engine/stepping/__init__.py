"""A step of many paths side by side: its scheme, its random numbers, its compiled form."""
