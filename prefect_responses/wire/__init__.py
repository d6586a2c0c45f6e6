"""The slice of the API that this package relies on, read tolerantly."""
