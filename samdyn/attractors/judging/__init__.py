"""Does a fixed point attract? Verdicts from spectra, sliding, and runs of the step itself."""
