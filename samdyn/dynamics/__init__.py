"""How it moves: perturbations (where SAM is defined, once), flows, and step maps."""
