"""The version of the product, written once."""
__version__ = "0.1.0"
