"""Questions to large models behind services: asked asynchronously, cached, limited, accounted for.

`questions` says what is asked and what can come back, `answers` keeps what was paid for, `caller` asks, and
`gemini` and `qwen2vl` are the models. Nothing here is imported by the default run.
"""
