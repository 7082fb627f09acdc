"""Views: functions from data frames and arrays to HoloViews objects, for saved figures and the explorer alike."""
