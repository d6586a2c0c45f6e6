"""The built-in models: each answers by plain rules, none needs a download."""
