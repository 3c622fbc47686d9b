"""Programs as machine code: written in LLVM's language, for vectors of lanes; compiled; called."""
