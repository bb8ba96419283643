"""When segments are merged and codecs trained again, and what searches find."""
