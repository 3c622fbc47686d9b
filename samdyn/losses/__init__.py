"""What is descended: analytic losses with known critical points."""
