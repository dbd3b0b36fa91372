"""Restoring video files frame by frame, with sound, subtitles and times kept; resumable. Needs the extra ``video``."""
