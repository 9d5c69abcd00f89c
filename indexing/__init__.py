"""From a source to a searchable index. Knows nothing of HTTP, prompts or answers."""
