"""How do fixed points and their verdicts change with a parameter?"""
