"""Programs as machine code: written in LLVM's language on vectors of lanes, compiled, kept, called."""
