"""The HTTP face of the product: parses into schemas, asks the model, serialises. No business logic lives here."""
