"""The frozen model: weights, towers, tokenizer, the text engine, and the features of hand-written templates."""
