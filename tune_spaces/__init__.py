"""Search spaces: functions that return a frozen `Space`; `tune_spaces.spaces` lists them by name."""
