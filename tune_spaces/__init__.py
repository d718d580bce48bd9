"""Search spaces: functions that return a frozen `Space` (recipe, axes, seeds, decision rule)."""
