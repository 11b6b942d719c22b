"""A page on which a person looks at what a trained mixture does with their images."""
