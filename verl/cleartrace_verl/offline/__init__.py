"""Rollouts without Ray and without the trainer: the agent loop of training over a task file, any policy behind it."""
