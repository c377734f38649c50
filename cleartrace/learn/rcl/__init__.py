"""RCL: run, reflect, edit a playbook, again. Pure decisions in small modules; `loop.optimize` puts them together."""
