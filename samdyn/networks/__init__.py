"""The same questions, asked of a network while it trains and after."""
