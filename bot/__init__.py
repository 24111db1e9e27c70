"""The service around `rancher_ext`: may we, who agrees, who is told, what happened."""
