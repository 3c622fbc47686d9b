"""What verbs return: one base for results, saving and loading, and stores of long runs."""
