"""The room of tools: what an agent can do besides thinking.

A tool is one module with a class that has the members of `base.Tool`, one line in
`registry.TOOLS`, and one test. Every call passes `policy.decide` first.
"""
