"""SAM around any optimizer, a curvature monitor, and the training loop of a study."""
