"""Adapters to public benchmarks of long context, software engineering and vision. Their data is the user's to bring."""
