"""The room of models: a question goes out in chat-completions words, a raw answer comes back.

Nothing here knows money: `ledger/metered` is the only caller. To add a provider that litellm
does not speak, write one module with a class that has the methods of `base.LLM`, add its line to
`registry.MODELS`, and run it through `tests/contracts/test_llm.py`.
"""
