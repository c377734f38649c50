"""The context-awareness probe: can a model tell the context that supports an answer from one that nearly does?"""
