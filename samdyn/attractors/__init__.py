"""Does it stay? Fixed points, spectra, verdicts, windows in rho, continuation and basins."""
