"""An index checked, and made valid again as far as what is left of it allows."""
