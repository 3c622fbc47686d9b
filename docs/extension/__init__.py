"""What the pages need beyond Sphinx: one file a job."""
