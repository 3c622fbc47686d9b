"""How a problem is known again: by what it computes, with its source text for people."""
