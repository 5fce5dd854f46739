"""Code shared by experiments with feed-forward networks of dense layers."""
