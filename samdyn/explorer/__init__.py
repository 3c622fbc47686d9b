"""The phase plane to touch: a page that computes, as one file that needs no network."""
