"""The HTTP side: published endpoints as they are, version 2 beside them, SandboxFusion's shape as an adapter."""
