"""Which way does it curve? Eigenvalues of Hessians and step maps too large to write down."""
