"""How do other systems and people reach the service? Hooks, pages, a small API, health and metrics over HTTP."""
