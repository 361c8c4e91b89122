"""How good the recommendations are: what people liked, asked of a model and of what it has to beat."""
