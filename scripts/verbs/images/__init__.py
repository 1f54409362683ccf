"""The images: built, pushed and registered."""
