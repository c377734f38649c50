"""The study of RCL in the rule world: many seeds an arm, without a model."""
