"""Exit times and variances by integrals, by linear algebra, and as papers print them."""
