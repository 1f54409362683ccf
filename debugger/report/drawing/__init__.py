"""Draws parts of the page: HTML elements, tables, charts and heat maps."""
