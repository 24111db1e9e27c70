"""How do we talk to Rancher? The only package that sends it requests."""
