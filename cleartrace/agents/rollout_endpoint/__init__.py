"""Rollouts over HTTP, in the shape that AgentCore's toolkit for reinforcement learning gave them.

POST /invocations with a task and a `_rollout` block is answered at once with the place of the result; the result comes
later, as a JSON object in a folder, a bucket, or from the endpoint itself. Nothing here needs a cloud account.
"""
