"""What several subpackages need: image layouts, torch helpers, optional imports."""
