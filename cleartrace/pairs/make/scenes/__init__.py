"""Rendered scenes in five domains: pictures whose every parameter is known, with questions that have one answer."""
